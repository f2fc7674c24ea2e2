package main

import (
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	width = 1680 // the width of the page
	cell  = 38   // the height of a grid row of Grafana
	head  = 48   // the height above the panels
	below = 10   // the height below the panels
)

func (d *dashboard) height() int {
	bottom := 0
	for _, p := range d.Panels {
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	return head + bottom*cell + below
}

func (d *dashboard) html() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<!doctype html><meta charset="utf-8"><style>
body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,"DejaVu Sans",sans-serif;width:%dpx}
svg text{font-family:Inter,"DejaVu Sans",sans-serif}
h1{font-size:20px;font-weight:600;margin:0;padding:12px 10px}h1 small{font-weight:400;font-size:14px;color:#a0a3ab;margin-left:12px}
.p{position:absolute;background:#181b1f;border:1px solid #2a2d33;border-radius:3px;box-sizing:border-box;overflow:hidden}
.t{font-size:14px;font-weight:500;padding:6px 10px 2px;white-space:nowrap}
.r{position:absolute;font-size:16px;font-weight:600;padding:10px 10px}
.n{font-size:36px;font-weight:500;text-align:center;padding-top:28px}
.names{display:flex;gap:6px;padding:4px 8px 8px;height:calc(100%% - 32px);box-sizing:border-box}
.names div{flex:1;min-width:0;overflow-wrap:anywhere;display:flex;align-items:center;justify-content:center;border-radius:3px;
color:#111217;font-size:12px;font-weight:600;text-align:center;padding:4px}
td,th{padding:5px 10px;text-align:left;white-space:nowrap}th{color:#6e9fff;font-weight:500}</style>
<h1>%s<small>%s to %s UTC</small></h1>`, width, html.EscapeString(d.Title), d.from.UTC().Format("15:04:05"), d.to.UTC().Format("15:04:05"))
	for _, p := range d.Panels {
		x, w := p.GridPos.X*width/24, p.GridPos.W*width/24-6
		y, h := head+p.GridPos.Y*cell, p.GridPos.H*cell-6
		if p.Type == "row" {
			fmt.Fprintf(&out, `<div class="r" style="left:%dpx;top:%dpx">%s</div>`, x, y, html.EscapeString(p.Title))
			continue
		}
		fmt.Fprintf(&out, `<div class="p" style="left:%dpx;top:%dpx;width:%dpx;height:%dpx"><div class="t">%s</div>%s</div>`,
			x, y, w, h, html.EscapeString(p.Title), p.body(d, w, h-32))
	}
	return out.String()
}

func (p *panel) body(d *dashboard, w, h int) string {
	switch p.Type {
	case "stat":
		return p.number()
	case "table":
		return p.table()
	case "heatmap":
		return p.heatmap(d, w, h)
	default:
		return p.chart(d, w, h)
	}
}

// number returns the last value of the first series in the color of its threshold, or the names of alerts with their duration.
func (p *panel) number() string {
	if p.Options.TextMode == "value_and_name" {
		var out strings.Builder
		for _, s := range p.series {
			text := "no alert"
			if value, _ := s.last(); value > 0 {
				text = format(value, p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Decimals)
			}
			fmt.Fprintf(&out, `<div style="background:%s">%s<br>%s</div>`, s.color, html.EscapeString(s.name), text)
		}
		return `<div class="names">` + out.String() + `</div>`
	}
	for _, s := range p.series {
		if value, ok := s.last(); ok {
			text := format(value, p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Decimals)
			return fmt.Sprintf(`<div class="n" style="color:%s">%s</div>`, p.ofThreshold(value), text)
		}
	}
	if len(p.series) == 0 {
		return `<div class="n">No data</div>`
	}
	return `<div class="n">no traffic</div>` // the value is NaN
}

func (s series) last() (value float64, ok bool) {
	for _, at := range slices.Sorted(maps.Keys(s.points)) {
		value, ok = s.points[at], true
	}
	return value, ok
}

func (p *panel) table() string {
	shown := []string{"pod", "version", "revision", "goversion"}
	var out strings.Builder
	out.WriteString("<table><tr><th>" + strings.Join(shown, "<th>"))
	for _, s := range p.series {
		out.WriteString("<tr>")
		for _, label := range shown {
			fmt.Fprintf(&out, "<td>%.20s", html.EscapeString(s.labels[label]))
		}
	}
	return out.String() + "</table>"
}

// format returns a value with its unit, in a form similar to Grafana's.
func format(value float64, unit string, decimals *int) string {
	switch unit {
	case "percent":
		return short(value, decimals) + " %"
	case "s":
		return span(value, decimals)
	case "d":
		return short(value, decimals) + " d"
	case "bytes":
		return short(value/(1<<20), decimals) + " MiB"
	case "reqps", "ops":
		return short(value, decimals) + "/s"
	default:
		return short(value, decimals)
	}
}

// span returns a number of seconds as a duration with units.
func span(value float64, decimals *int) string {
	switch {
	case value == 0:
		return "0 s"
	case value > -1 && value < 1:
		return short(value*1000, decimals) + " ms"
	case value >= 60:
		return short(value/60, decimals) + " min"
	default:
		return short(value, decimals) + " s"
	}
}

func short(value float64, decimals *int) string {
	digits := 2
	if decimals != nil {
		digits = *decimals
	}
	if math.Abs(value) < 0.5*math.Pow10(-digits) {
		return "0" // not -0
	}
	switch {
	case value >= 1e6 || value <= -1e6:
		return fmt.Sprintf("%.3g M", value/1e6)
	case value >= 1e4 || value <= -1e4:
		return fmt.Sprintf("%.3g K", value/1e3)
	case digits == 0:
		return fmt.Sprintf("%.0f", value)
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.*f", digits, value), "0"), ".")
	}
}
