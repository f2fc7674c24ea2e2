package main

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
)

const (
	width = 1680 // of the page
	cell  = 38   // the height of one of Grafana's rows
	head  = 44   // above the panels
)

func (d *dashboard) height() int {
	bottom := 0
	for _, p := range d.Panels {
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	return head + bottom*cell + 120 // Chromium takes its own share of the window
}

func (d *dashboard) html() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<!doctype html><meta charset="utf-8"><style>
body{margin:0;background:#111217;color:#ccccdc;font:12px "DejaVu Sans",sans-serif}h1{font-size:18px;margin:0;padding:12px}
.p{position:absolute;background:#181b1f;border:1px solid #2c3235;box-sizing:border-box;overflow:hidden}
.t{font-size:13px;padding:5px 8px;white-space:nowrap}.r{position:absolute;font-size:15px;padding:10px 8px}
.n{font-size:30px;text-align:center;padding-top:30px}td,th{padding:3px 8px;text-align:left;white-space:nowrap}</style>
<h1>%s <small>%s to %s UTC</small></h1>`, html.EscapeString(d.Title), d.from.UTC().Format("15:04:05"), d.to.UTC().Format("15:04:05"))
	for _, p := range d.Panels {
		x, w := p.GridPos.X*width/24, p.GridPos.W*width/24-6
		y, h := head+p.GridPos.Y*cell, p.GridPos.H*cell-6
		if p.Type == "row" {
			fmt.Fprintf(&out, `<div class="r" style="left:%dpx;top:%dpx">%s</div>`, x, y, html.EscapeString(p.Title))
			continue
		}
		fmt.Fprintf(&out, `<div class="p" style="left:%dpx;top:%dpx;width:%dpx;height:%dpx"><div class="t">%s</div>%s</div>`,
			x, y, w, h, html.EscapeString(p.Title), p.body(d, w, h-28))
	}
	return out.String()
}

func (p *panel) body(d *dashboard, w, h int) string {
	switch p.Type {
	case "stat":
		return p.number()
	case "table":
		return p.table()
	default:
		return p.chart(d, w, h)
	}
}

// number is the last value of the first series, in the color of its threshold.
func (p *panel) number() string {
	value, color := 0.0, ""
	for _, s := range p.series {
		for _, at := range slices.Sorted(maps.Keys(s.points)) {
			value = s.points[at]
		}
	}
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	return fmt.Sprintf(`<div class="n" style="color:%s">%s</div>`, shade(color), format(value, p.FieldConfig.Defaults.Unit))
}

func shade(color string) string {
	known := map[string]string{"green": "#73bf69", "red": "#f2495c", "blue": "#5794f2"}
	return known[color]
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

// format writes a value with its unit as Grafana does, more or less.
func format(value float64, unit string) string {
	switch unit {
	case "percent":
		return short(value) + " %"
	case "s":
		if value > -1 && value < 1 {
			return short(value*1000) + " ms"
		}
		return short(value) + " s"
	case "d":
		return short(value) + " d"
	case "bytes":
		return short(value/(1<<20)) + " MiB"
	case "reqps", "ops":
		return short(value) + "/s"
	default:
		return short(value)
	}
}

func short(value float64) string {
	switch {
	case value >= 1e6 || value <= -1e6:
		return fmt.Sprintf("%.3g M", value/1e6)
	case value >= 1e4 || value <= -1e4:
		return fmt.Sprintf("%.3g K", value/1e3)
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", value), "0"), ".")
	}
}
