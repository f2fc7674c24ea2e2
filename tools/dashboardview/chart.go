package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

var palette = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#f2495c", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5"}

// canvas turns moments and values into places.
type canvas struct {
	from, to   time.Time
	top        float64 // the greatest value
	w, h, left float64
}

func (c canvas) x(at int64) float64 {
	return c.left + float64(at-c.from.Unix())/c.to.Sub(c.from).Seconds()*(c.w-c.left-10)
}
func (c canvas) y(value float64) float64 { return c.h - value/c.top*(c.h-8) }

// chart draws the curves of a panel, its threshold and its legend.
func (p *panel) chart(d *dashboard, w, h int) string {
	const footer = 42
	c := canvas{from: d.from, to: d.to, w: float64(w), h: float64(h - footer), left: 62}
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	if stacked {
		p.stack(d)
	}
	c.top = p.top()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%d" height="%d" style="display:block">`, w, h)
	c.axes(&out, p.FieldConfig.Defaults.Unit)
	for i := len(p.series) - 1; i >= 0; i-- { // those below are drawn over those above
		c.curve(&out, p.series[i], palette[i%len(palette)], stacked)
	}
	if p.FieldConfig.Defaults.Custom.ThresholdsStyle.Mode == "line" {
		for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
			if step.Value != nil && *step.Value <= c.top {
				fmt.Fprintf(&out, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#f2495c" stroke-dasharray="6 4"/>`, c.left, c.w-10, c.y(*step.Value), c.y(*step.Value))
			}
		}
	}
	p.legend(&out, h)
	return out.String() + "</svg>"
}

// stack puts each series on those before it.
func (p *panel) stack(d *dashboard) {
	sum := map[int64]float64{}
	for _, s := range p.series {
		for at := d.from.Unix(); at <= d.to.Unix(); at += int64(step.Seconds()) {
			sum[at] += s.points[at]
			s.points[at] = sum[at]
		}
	}
}

func (p *panel) top() float64 {
	if most := p.FieldConfig.Defaults.Max; most != nil {
		return *most * 1.05
	}
	top := 0.0
	for _, s := range p.series {
		for _, value := range s.points {
			top = max(top, value)
		}
	}
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value != nil && *step.Value < 4*top {
			top = max(top, *step.Value)
		}
	}
	if top == 0 {
		return 1
	}
	return top * 1.1
}

func (c canvas) axes(out *strings.Builder, unit string) {
	for i := range 5 {
		value := c.top * float64(i) / 4
		fmt.Fprintf(out, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#2c3235"/><text x="%.0f" y="%.1f" fill="#9a9aa5" font-size="10" text-anchor="end">%s</text>`,
			c.left, c.w-10, c.y(value), c.y(value), c.left-5, c.y(value)+3, format(value, unit))
		at := c.from.Add(c.to.Sub(c.from) * time.Duration(i) / 4)
		fmt.Fprintf(out, `<text x="%.0f" y="%.0f" fill="#9a9aa5" font-size="10" text-anchor="middle">%s</text>`,
			min(c.x(at.Unix()), c.w-32), c.h+13, at.UTC().Format("15:04:05"))
	}
}

// curve draws one series; where there is no point there is a gap.
func (c canvas) curve(out *strings.Builder, s series, color string, filled bool) {
	var path strings.Builder
	var first, last int64
	end := func() {
		if first == 0 {
			return
		}
		fmt.Fprintf(out, `<path d="M%s" fill="none" stroke="%s" stroke-width="1.5"/>`, path.String(), color)
		if filled {
			fmt.Fprintf(out, `<path d="M%.1f,%.1f L%s L%.1f,%.1f Z" fill="%s" stroke="none"/>`, c.x(first), c.h, path.String(), c.x(last), c.h, color)
		}
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
		fmt.Fprintf(&path, " %.1f,%.1f", c.x(at), c.y(max(0, min(value, c.top))))
	}
	end()
}

func (p *panel) legend(out *strings.Builder, h int) {
	fmt.Fprintf(out, `<text x="8" y="%d" font-size="11">`, h-10)
	for i, s := range p.series {
		fmt.Fprintf(out, `<tspan fill="%s">— </tspan><tspan fill="#ccccdc">%s&#160;&#160; </tspan>`, palette[i%len(palette)], html.EscapeString(s.name))
	}
	out.WriteString("</text>")
}
