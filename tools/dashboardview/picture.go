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

// cut takes off what is below the panels of a screenshot, and makes a small file of it.
func cut(from, to string, height int) error {
	in, err := os.Open(from) //nolint:gosec // made by us
	if err != nil {
		return fmt.Errorf("open the screenshot: %w", err)
	}
	defer func() { _ = in.Close() }()
	shot, err := png.Decode(in)
	if err != nil {
		return fmt.Errorf("read the screenshot: %w", err)
	}
	out, err := os.Create(to) //nolint:gosec // named by who runs the program
	if err != nil {
		return fmt.Errorf("make the picture: %w", err)
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(out, reduce(shot, image.Rect(0, 0, width, height))), out.Close())
}

// reduce leaves a picture the 256 colors that it has most of. The others are those of the edges of letters and curves.
func reduce(shot image.Image, bounds image.Rectangle) *image.Paletted {
	times := map[color.Color]int{}
	for y := range bounds.Max.Y {
		for x := range bounds.Max.X {
			times[shot.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(times), func(a, b color.Color) int { return cmp.Compare(times[b], times[a]) })
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
