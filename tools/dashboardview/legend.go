package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

const (
	legendLine  = 17   // the height of a line
	legendShare = 0.42 // of the panel, at most
)

// legend returns a table of the series and of their mean, highest and last values, and its height. As in Grafana, the series with the
// highest peak come first, and a low panel does not show the others.
func (p *panel) legend(d *dashboard, w, h int) (text string, high int) {
	sorted := slices.Clone(p.series)
	slices.SortStableFunc(sorted, func(a, b series) int { return cmp.Compare(b.sum(d).most, a.sum(d).most) })
	lines := min(len(sorted), int(legendShare*float64(h))/legendLine-1)
	high = (lines+1)*legendLine + 6
	columns := [3]int{w - 150, w - 80, w - 12}
	var out strings.Builder
	row := func(n int, color string, cells ...string) {
		y := h - high + (n+1)*legendLine
		for i, x := range columns {
			fmt.Fprintf(&out, `<text x="%d" y="%d" font-size="12" fill="%s" text-anchor="end">%s</text>`, x, y, color,
				html.EscapeString(cells[i]))
		}
	}
	row(0, "#6e9fff", "Mean", "Max", "Last *")
	for i, s := range sorted[:lines] {
		y := h - high + (i+2)*legendLine
		fmt.Fprintf(&out, `<rect x="10" y="%d" width="14" height="4" rx="2" fill="%s"/>`, y-6, s.color)
		fmt.Fprintf(&out, `<text x="29" y="%d" font-size="12" fill="#ccccdc">%s</text>`, y, html.EscapeString(s.name))
		sum, defaults := s.sum(d), p.FieldConfig.Defaults
		row(i+1, "#ccccdc", format(sum.mean, defaults.Unit, defaults.Decimals), format(sum.most, defaults.Unit, defaults.Decimals),
			format(sum.last, defaults.Unit, defaults.Decimals))
	}
	return out.String(), high
}

// summary has the numbers of a legend.
type summary struct{ mean, most, last float64 }

func (s series) sum(d *dashboard) (out summary) {
	out.most = math.Inf(-1)
	n := 0.0
	for at := d.from.Unix(); at <= d.to.Unix(); at += int64(step.Seconds()) {
		value, ok := s.points[at]
		if !ok {
			continue
		}
		value -= s.under[at] // of a stack
		n++
		out.mean += (value - out.mean) / n
		out.most, out.last = max(out.most, value), value
	}
	if n == 0 {
		return summary{}
	}
	return out
}
