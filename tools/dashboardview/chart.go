package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// canvas converts times and values to coordinates.
type canvas struct {
	from, to    time.Time
	bottom, top float64 // the minimum and the maximum of the axis
	w, h, left  float64
	log         bool // the axis is logarithmic
}

func (c canvas) x(at int64) float64 {
	return c.left + float64(at-c.from.Unix())/c.to.Sub(c.from).Seconds()*(c.w-c.left-12)
}

func (c canvas) y(value float64) float64 {
	if c.log {
		return c.h - math.Log(max(value, c.bottom)/c.bottom)/math.Log(c.top/c.bottom)*(c.h-8)
	}
	return c.h - (value-c.bottom)/(c.top-c.bottom)*(c.h-8)
}

// chart draws the curves, the thresholds, the legend and the firing alerts of a panel.
func (p *panel) chart(d *dashboard, w, h int) string {
	legend, high := p.legend(d, w, h)
	c := canvas{from: d.from, to: d.to, w: float64(w), h: float64(h - high - 22), left: 64}
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	if stacked {
		p.stack(d)
	}
	var step float64
	c.bottom, c.top, step = p.scale()
	c.log = p.logarithmic()
	if c.log {
		c.bottom, c.top = p.decades()
		step = 10 // the factor between the lines
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%d" height="%d" style="display:block">`, w, h)
	c.marks(&out, d.marks)
	c.axes(&out, p, step)
	for i := len(p.series) - 1; i >= 0; i-- { // lower curves are drawn over higher ones
		c.curve(&out, p.series[i], p.FieldConfig.Defaults.Custom.FillOpacity/100)
	}
	if p.FieldConfig.Defaults.Custom.ThresholdsStyle.Mode == "line" {
		for i, step := range p.FieldConfig.Defaults.Thresholds.Steps {
			if step.Value != nil && *step.Value >= c.bottom && *step.Value <= c.top {
				y := c.y(*step.Value)
				color := shade(step.Color, 0)
				if step.Color == "transparent" { // the line has the color of the values below it
					color = shade(p.FieldConfig.Defaults.Thresholds.Steps[i-1].Color, 0)
				}
				fmt.Fprintf(&out, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="1.5" stroke-dasharray="7 5"/>`,
					c.left, c.w-12, y, y, color)
			}
		}
	}
	return out.String() + legend + "</svg>"
}

// stack adds to each series the sum of the series before it.
func (p *panel) stack(d *dashboard) {
	sum := map[int64]float64{}
	for i, s := range p.series {
		if s.limit {
			continue
		}
		under := map[int64]float64{}
		for at := d.from.Unix(); at <= d.to.Unix(); at += int64(step.Seconds()) {
			under[at] = sum[at]
			sum[at] += s.points[at]
			s.points[at] = sum[at]
		}
		p.series[i].under = under
	}
}

// scale returns the ends of the axis, and the distance of its lines, which is a round number.
func (p *panel) scale() (bottom, top, step float64) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range p.series {
		for _, value := range s.points {
			least, most = min(least, value), max(most, value)
		}
	}
	most = max(most, p.FieldConfig.Defaults.Custom.AxisSoftMax)
	if p.FieldConfig.Defaults.Min != nil {
		least = *p.FieldConfig.Defaults.Min
	}
	if p.FieldConfig.Defaults.Max != nil {
		most = *p.FieldConfig.Defaults.Max
	}
	if most <= least {
		most = least + 1
	}
	step = p.step((most - least) / 4)
	return math.Floor(least/step) * step, math.Ceil(most/step-1e-9) * step, step
}

// step returns a round number that is at least least.
func (p *panel) step(least float64) float64 {
	switch p.FieldConfig.Defaults.Unit {
	case "bytes":
		return round(least/(1<<20)) * (1 << 20)
	case "s":
		for _, step := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600} {
			if least > 0.5 && least <= step {
				return step
			}
		}
	case "short":
		if p.whole() {
			return max(round(least), 1)
		}
	}
	return round(least)
}

// whole reports whether all values are whole numbers.
func (p *panel) whole() bool {
	for _, s := range p.series {
		for _, value := range s.points {
			if value != math.Trunc(value) {
				return false
			}
		}
	}
	return true
}

// round returns the next number whose first digit is 1, 2 or 5.
func round(value float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(value)))
	for _, digit := range []float64{1, 2, 5} {
		if value <= digit*unit*1.0001 {
			return digit * unit
		}
	}
	return 10 * unit
}

// marks draws firing alerts as a red background, and other marks as lines.
func (c canvas) marks(out *strings.Builder, marks []mark) {
	for _, m := range marks {
		from, to := c.x(m.from), c.x(m.to)
		if m.area {
			fmt.Fprintf(out, `<rect x="%.1f" y="8" width="%.1f" height="%.1f" fill="%s" opacity="0.09"/>`,
				from, max(to-from, 2), c.h-8, shade(m.color, 0))
		}
		fmt.Fprintf(out, `<line x1="%.1f" x2="%.1f" y1="8" y2="%.1f" stroke="%s" stroke-dasharray="3 3" opacity="0.8"/>`,
			from, from, c.h, shade(m.color, 0))
	}
}

func (c canvas) axes(out *strings.Builder, p *panel, step float64) {
	next, end := func(value float64) float64 { return math.Round((value+step)/step*1000) / 1000 * step }, c.top+step/2
	if c.log {
		next, end = func(value float64) float64 { return value * step }, c.top*2
	}
	for value := c.bottom; value <= end; value = next(value) {
		y, text := c.y(value), format(value, p.FieldConfig.Defaults.Unit, nil)
		fmt.Fprintf(out, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#2a2d33"/>`, c.left, c.w-12, y, y)
		fmt.Fprintf(out, `<text x="%.0f" y="%.1f" fill="#a0a3ab" font-size="11" text-anchor="end">%s</text>`, c.left-6, y+4, text)
	}
	c.times(out)
}

// times draws the times below the axis.
func (c canvas) times(out *strings.Builder) {
	minutes := c.to.Sub(c.from).Minutes()
	between := time.Duration(max(1, math.Ceil(minutes/6/5)*5)) * time.Minute
	for at := c.from.Truncate(between).Add(between); at.Before(c.to); at = at.Add(between) {
		if x := c.x(at.Unix()); x > c.left+14 && x < c.w-24 {
			fmt.Fprintf(out, `<text x="%.0f" y="%.0f" fill="#a0a3ab" font-size="11" text-anchor="middle">%s</text>`,
				x, c.h+15, at.UTC().Format("15:04"))
		}
	}
}

// ground returns the path back from the last point to the first, along the axis or the series below.
func (c canvas) ground(s series, first, last int64) string {
	if s.under == nil {
		return fmt.Sprintf("%.1f,%.1f %.1f,%.1f", c.x(last), c.h, c.x(first), c.h)
	}
	var path strings.Builder
	for at := last; at >= first; at -= int64(step.Seconds()) {
		fmt.Fprintf(&path, " %.1f,%.1f", c.x(at), c.y(min(s.under[at], c.top)))
	}
	return path.String()
}

// curve draws one series, with gaps where points are missing.
func (c canvas) curve(out *strings.Builder, s series, opacity float64) {
	var path strings.Builder
	var first, last int64
	end := func() {
		if first == 0 {
			return
		}
		dashes := ""
		if s.limit {
			dashes = ` stroke-dasharray="10 10"`
		} else {
			fmt.Fprintf(out, `<path d="M%s L%s Z" fill="%s" stroke="none" opacity="%.2f"/>`,
				path.String(), c.ground(s, first, last), s.color, opacity)
		}
		fmt.Fprintf(out, `<path d="M%s" fill="none" stroke="%s" stroke-width="1.6" stroke-linejoin="round"%s/>`,
			path.String(), s.color, dashes)
		path.Reset()
		first = 0
	}
	for at := c.from.Unix(); at <= c.to.Unix(); at += int64(step.Seconds()) {
		value, ok := s.points[at]
		if !ok {
			end()
			continue
		}
		if first == 0 {
			first = at
		}
		last = at
		fmt.Fprintf(&path, " %.1f,%.1f", c.x(at), c.y(max(c.bottom, min(value, c.top))))
	}
	end()
}
