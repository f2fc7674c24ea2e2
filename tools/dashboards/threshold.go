package main

// limit is the value from which, or below which, a panel has the color of its alert. If name is set, the chart replaces the value with the
// threshold of that name in prometheusRule.thresholds.
type limit struct {
	name    string
	value   float64
	below   bool
	warning bool // the alert has the severity warning; otherwise critical
}

// The colors of the severities. No curve has the color red.
const (
	critical = "red"
	warning  = "orange"
)

func (l limit) color() string {
	if l.warning {
		return warning
	}
	return critical
}

// threshold returns the value, or the placeholder that the chart replaces, including its quotes.
func (l limit) threshold() any {
	if l.name != "" {
		return placeholder(l.name)
	}
	return l.value
}

// placeholder returns the text that the chart replaces with a threshold, also within a query.
func placeholder(name string) string { return "__THRESHOLD_" + name + "__" }

// line is a threshold with the color of the values from at upward.
type line struct {
	at    float64
	color string
}

// step is one color of a scale, from a value upward.
type step struct {
	Color string `json:"color"`
	Value any    `json:"value"`
}

func (p panel) steps() []step {
	switch {
	case len(p.lines) > 0:
		out := []step{{Color: p.base()}}
		for _, l := range p.lines {
			out = append(out, step{Color: l.color, Value: l.at})
		}
		return out
	case p.limit == limit{}:
		return []step{{Color: "text"}}
	case p.limit.below:
		return []step{{Color: p.limit.color()}, {p.above(), p.limit.threshold()}}
	default:
		return []step{{Color: "green"}, {p.limit.color(), p.limit.threshold()}}
	}
}

// base returns the color of values below all lines.
func (p panel) base() string {
	if p.limit.below {
		return p.limit.color()
	}
	return "green"
}

// above returns the color of values above a lower limit. If it is transparent, Grafana draws the limit in the color of the values below.
func (p panel) above() string {
	if p.kind == tile {
		return "green"
	}
	return "transparent"
}

// softMax returns the minimum end of the axis, or 0 for none. So a threshold is visible before the values reach it, and a curve at zero is
// visible too.
func (p panel) softMax() float64 {
	switch {
	case p.max == nil && len(p.lines) > 0:
		return p.lines[len(p.lines)-1].at * 1.2
	case p.max == nil && p.limit != limit{}:
		return p.limit.value * 1.2
	}
	if p.unit == "short" || p.unit == "reqps" || p.unit == "ops" {
		return 1
	}
	return 0
}
