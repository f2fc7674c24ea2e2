package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logarithmic reports whether the axis of the panel is logarithmic.
func (p *panel) logarithmic() bool {
	return p.FieldConfig.Defaults.Custom.ScaleDistribution.Type == "log"
}

// decades returns the two ends of a logarithmic axis. Both are powers of ten.
func (p *panel) decades() (bottom, top float64) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, s := range p.series {
		for _, value := range s.points {
			if value > 0 {
				least, most = min(least, value), max(most, value)
			}
		}
	}
	if least > most {
		return 0.1, 1
	}
	bottom, top = math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
	return bottom, max(top, 10*bottom)
}

// bound returns the upper bound of a series: the value of the label le.
func (s series) bound() float64 {
	value, err := strconv.ParseFloat(s.labels["le"], 64)
	if err != nil {
		return math.Inf(1)
	}
	return value
}

// heatmap draws each bucket of a histogram as a row. The more requests, the brighter the cell.
func (p *panel) heatmap(d *dashboard, w, h int) string {
	c := canvas{from: d.from, to: d.to, w: float64(w), h: float64(h - 22), left: 64, top: 1}
	slices.SortFunc(p.series, func(a, b series) int { return cmp.Compare(a.bound(), b.bound()) })
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%d" height="%d" style="display:block">`, w, h)
	const cells = 90
	wide := d.to.Sub(d.from) / cells
	most := 0.0
	counts := make([][cells]float64, len(p.series))
	for row := range p.series {
		for cell := range cells {
			counts[row][cell] = p.within(row, d.from.Add(time.Duration(cell)*wide), wide)
			most = max(most, counts[row][cell])
		}
	}
	high := (c.h - 8) / float64(max(len(p.series), 1))
	for row, s := range p.series {
		y := c.h - float64(row+1)*high
		if row%3 == 0 && !math.IsInf(s.bound(), 1) {
			fmt.Fprintf(&out, `<text x="%.0f" y="%.1f" fill="#a0a3ab" font-size="11" text-anchor="end">%s</text>`,
				c.left-6, y+4, format(s.bound(), "s", nil))
		}
		for cell, count := range counts[row] {
			if count <= 1e-9 {
				continue
			}
			x := c.x(d.from.Add(time.Duration(cell) * wide).Unix())
			fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" opacity="%.2f"/>`,
				x, y, (c.w-12-c.left)/cells-1, high-1, shade("blue", 0), 0.1+0.9*math.Sqrt(count/most))
		}
	}
	c.marks(&out, d.marks)
	c.times(&out)
	return out.String() + "</svg>"
}

// within returns the average rate of one series in a period.
func (p *panel) within(row int, from time.Time, wide time.Duration) float64 {
	sum, n := 0.0, 0
	for at := from.Truncate(step).Unix(); at < from.Add(wide).Unix(); at += int64(step.Seconds()) {
		value, ok := p.series[row].points[at]
		if !ok {
			continue
		}
		n++
		sum += value
		if row > 0 {
			sum -= p.series[row-1].points[at]
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
