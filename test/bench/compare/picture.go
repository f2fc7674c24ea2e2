package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars are the ratios of the throughput, with their goals.
type bars struct {
	spreads []spread
	goals   []float64
}

// drawRatios writes a picture of the ratios of the throughput. It has a bar for each median, a black line from the minimum to the maximum,
// and a red line at the goal. The end of the file's name decides the format, such as .png or .svg.
func drawRatios(file string, all []comparison) error {
	picture, err := ratios(all)
	if err != nil {
		return err
	}
	return picture.Save(vg.Length(len(all)+1)*2*vg.Centimeter, 9*vg.Centimeter, file)
}

func ratios(all []comparison) (*plot.Plot, error) {
	out := plot.New()
	out.Title.Text = fmt.Sprintf("Throughput of the service / throughput of the floor, %d rounds", len(all[0].floor))
	out.Y.Min, out.Y.Max = 0, 1.2
	var b bars
	names := make([]string, len(all))
	values := make(plotter.Values, len(all))
	for i, c := range all {
		s := c.ratio(figures[0].value)
		b.spreads, b.goals = append(b.spreads, s), append(b.goals, c.goal)
		names[i], values[i] = c.String(), s.middle
	}
	chart, err := plotter.NewBarChart(values, vg.Centimeter)
	if err != nil {
		return nil, fmt.Errorf("draw the ratios: %w", err)
	}
	chart.Color = color.RGBA{31, 119, 180, 255}
	out.Add(plotter.NewGrid(), chart, b)
	out.NominalX(names...)
	return out, nil
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	dark, red := draw.LineStyle{Color: color.Black, Width: vg.Points(1)}, draw.LineStyle{Color: color.RGBA{180, 30, 30, 255}, Width: vg.Points(2)}
	for i, s := range b.spreads {
		at := x(float64(i))
		c.StrokeLine2(dark, at, y(s.low), at, y(s.high))
		c.StrokeLine2(red, at-0.6*vg.Centimeter, y(b.goals[i]), at+0.6*vg.Centimeter, y(b.goals[i]))
	}
}
