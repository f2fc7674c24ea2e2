package main

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
)

// cut removes the part of a screenshot below the panels, and writes it with few colors, so that the file is small.
func cut(from, to string, height int) error {
	in, err := os.Open(from) //nolint:gosec // a file of this program
	if err != nil {
		return fmt.Errorf("open the screenshot: %w", err)
	}
	defer func() { _ = in.Close() }()
	shot, err := png.Decode(in)
	if err != nil {
		return fmt.Errorf("read the screenshot: %w", err)
	}
	out, err := os.Create(to) //nolint:gosec // the user names the folder
	if err != nil {
		return fmt.Errorf("create the picture: %w", err)
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(out, reduce(shot, image.Rect(0, 0, width, height))), out.Close())
}

// reduce returns the part of a screenshot within bounds, with at most 256 colors: the colors of curves, then the most frequent ones. All
// other colors occur only at the edges of letters, and are replaced by the nearest of the 256.
func reduce(shot image.Image, bounds image.Rectangle) *image.Paletted {
	times := map[color.Color]int{}
	for y := range bounds.Max.Y {
		for x := range bounds.Max.X {
			times[shot.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(times), func(a, b color.Color) int { return cmp.Compare(times[b], times[a]) })
	colors = append(named(), colors...)
	out := image.NewPaletted(bounds, color.Palette(colors[:min(len(colors), 256)]))
	nearest := map[color.Color]uint8{}
	for y := range bounds.Max.Y {
		for x := range bounds.Max.X {
			c := shot.At(x, y)
			index, known := nearest[c]
			if !known {
				index = uint8(out.Palette.Index(c)) //nolint:gosec // one of 256
				nearest[c] = index
			}
			out.SetColorIndex(x, y, index)
		}
	}
	return out
}
