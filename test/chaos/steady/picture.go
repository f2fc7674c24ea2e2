package steady

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Picture has a panel for each figure, and shows the faults in each panel.
type Picture struct {
	Title  string
	Series []Series
	Faults []Fault
	Length time.Duration
}

// Fault is the time of an injected fault.
type Fault struct {
	Kind       string
	Start, End time.Duration
}

const (
	columns    = 3
	panelWide  = 11 * vg.Centimeter
	panelHigh  = 5 * vg.Centimeter
	lineHigh   = 0.5 * vg.Centimeter
	margin     = 0.3 * vg.Centimeter
	resolution = 80 // dots per inch
)

var (
	colors    = []color.Color{color.RGBA{31, 119, 180, 255}, color.RGBA{214, 110, 20, 255}, color.RGBA{60, 140, 60, 255}}
	faultFill = color.NRGBA{200, 30, 30, 50}
)

// Draw writes the picture as PNG. The faults are numbered, and listed below the panels.
func (p Picture) Draw(to io.Writer) error {
	panels, err := p.panels()
	if err != nil {
		return err
	}
	rows, lines := len(panels), vg.Length((len(p.Faults)+columns-1)/columns)
	footer := (lines+1)*lineHigh + margin
	const header = 3 * lineHigh
	wide, high := columns*panelWide, vg.Length(rows)*panelHigh+header+footer
	canvas := vgimg.NewWith(vgimg.UseWH(wide, high), vgimg.UseDPI(resolution), vgimg.UseBackgroundColor(color.White))
	all := draw.New(canvas)
	tiles := draw.Tiles{
		Rows: rows, Cols: columns, PadTop: header, PadBottom: footer, PadX: 2 * margin, PadY: 2 * margin,
		PadLeft: margin, PadRight: 2 * margin,
	}
	for row, places := range plot.Align(panels, tiles, all) {
		for column, place := range places {
			if panels[row][column] != nil {
				panels[row][column].Draw(place)
			}
		}
	}
	all.FillText(letters(14), vg.Point{X: 2 * margin, Y: high - 1.5*lineHigh}, p.Title+"; the time is in minutes")
	for i, f := range p.Faults {
		at := vg.Point{X: 2*margin + panelWide*vg.Length(i%columns), Y: footer - lineHigh*vg.Length(2+i/columns)}
		all.FillText(letters(10), at, fmt.Sprintf("%d  %s", i+1, f.Kind))
	}
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(to)
	return err
}

// panels returns a panel for each figure, in rows.
func (p Picture) panels() (rows [][]*plot.Plot, err error) {
	var figures []Figure
	for _, s := range p.Series {
		if !slices.Contains(figures, s.Figure) {
			figures = append(figures, s.Figure)
		}
	}
	for i, figure := range figures {
		if i%columns == 0 {
			rows = append(rows, make([]*plot.Plot, columns))
		}
		if rows[i/columns][i%columns], err = p.panel(figure); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (p Picture) panel(figure Figure) (*plot.Plot, error) {
	out := plot.New()
	out.Title.Text = figure.Name
	out.X.Min, out.X.Max = 0, p.Length.Minutes()
	out.Y.Min, out.Y.Max = 0, 1
	out.Y.Tick.Marker = plot.TickerFunc(ticks)
	out.Legend.Top = true
	out.Legend.Left = true
	for _, style := range []*text.Style{&out.Title.TextStyle, &out.X.Tick.Label, &out.Y.Tick.Label, &out.Legend.TextStyle} {
		*style = draw.TextStyle{
			Color: color.Black, Font: letters(10).Font, XAlign: style.XAlign, YAlign: style.YAlign, Handler: style.Handler,
		}
	}
	out.Title.TextStyle.Font.Size = 12
	out.Add(faults(p.Faults))
	drawn := 0
	for _, s := range p.Series {
		if s.Figure != figure || len(s.Points) == 0 {
			continue
		}
		line, err := plotter.NewLine(points(s.Points))
		if err != nil {
			return nil, fmt.Errorf("draw %s of %s: %w", figure.Name, s.Of, err)
		}
		line.Color, line.Width = colors[drawn%len(colors)], vg.Points(1.2)
		drawn++
		out.Add(line)
		if s.Of != "" {
			out.Legend.Add(s.Of, line)
		}
	}
	out.Y.Max = math.Ceil(out.Y.Max * (1.1 + 0.25*float64(drawn))) // room for the legend
	return out, nil
}

// ticks returns the ticks that the library chooses, with labels of at most 4 digits.
func ticks(least, most float64) []plot.Tick {
	all := plot.DefaultTicks{}.Ticks(least, most)
	for i, tick := range all {
		if tick.Label != "" {
			all[i].Label = strconv.FormatFloat(tick.Value, 'g', 4, 64)
		}
	}
	return all
}

func points(of []Point) plotter.XYs {
	xys := make(plotter.XYs, len(of))
	for i, p := range of {
		xys[i] = plotter.XY{X: p.At.Minutes(), Y: p.Value}
	}
	return xys
}

// faults draws the time of each fault in the background, with its number.
type faults []Fault

// Plot implements plot.Plotter.
func (f faults) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for i, one := range f {
		from := x(one.Start.Minutes())
		to := max(x(one.End.Minutes()), from+1)
		c.FillPolygon(faultFill, []vg.Point{{X: from, Y: c.Min.Y}, {X: to, Y: c.Min.Y}, {X: to, Y: c.Max.Y}, {X: from, Y: c.Max.Y}})
		number := letters(6)
		number.YAlign = draw.YTop
		c.FillText(number, vg.Point{X: from, Y: c.Min.Y + vg.Points(7)}, fmt.Sprint(i+1))
	}
}

func letters(size font.Length) text.Style {
	return text.Style{
		Color: color.Black, Font: font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
	}
}
