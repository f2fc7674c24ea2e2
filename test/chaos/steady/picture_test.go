package steady_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
	"time"

	"user-service/test/chaos/steady"
)

// TestAPictureShowsEachFigure compares a picture with one of the same figures without a line.
func TestAPictureShowsEachFigure(t *testing.T) {
	t.Parallel()
	filled := run(runTime, func(time.Duration) float64 { return usually })
	empty := filled
	empty.Points = nil
	other := filled
	other.Figure.Name = "memory"
	faults := []steady.Fault{{Kind: "PostgreSQL killed", Start: 10 * time.Minute, End: 12 * time.Minute}}
	nothing := count(draw(t, steady.Picture{Title: "a run", Series: []steady.Series{empty}, Length: runTime}))
	for name, test := range map[string]struct {
		picture steady.Picture
		least   int // dots that differ from the background, in addition to the dots of an empty picture
	}{
		"a line":           {steady.Picture{Title: "a run", Series: []steady.Series{filled}, Length: runTime}, 300},
		"a fault":          {steady.Picture{Title: "a run", Series: []steady.Series{empty}, Faults: faults, Length: runTime}, 300},
		"a second figure":  {steady.Picture{Title: "a run", Series: []steady.Series{filled, other}, Length: runTime}, 600},
		"figures in a row": {steady.Picture{Title: "a run", Series: []steady.Series{filled, other, filled, other}, Length: runTime}, 600},
	} {
		if got := count(draw(t, test.picture)) - nothing; got < test.least {
			t.Errorf("%s: %d dots more than without, want at least %d", name, got, test.least)
		}
	}
}

func draw(t *testing.T, p steady.Picture) image.Image {
	t.Helper()
	var out bytes.Buffer
	if err := p.Draw(&out); err != nil {
		t.Fatal(err)
	}
	drawn, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	return drawn
}

// count returns the number of dots that are not white.
func count(picture image.Image) (n int) {
	white := color.RGBAModel.Convert(color.White)
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			if color.RGBAModel.Convert(picture.At(x, y)) != white {
				n++
			}
		}
	}
	return n
}
