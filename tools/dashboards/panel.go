package main

import "strings"

// panel describes one panel. In its queries, {@} means the labels that the dashboard's variables select.
type panel struct {
	title, about, unit string
	queries            []query
	stat               bool    // shows the current value, not a curve.
	names              bool    // shows the names of alerts in a stat, with links to their runbooks.
	wide, high         int     // width (of 24) and height in grid units; default 8, or 4 for a stat.
	stacked            bool    // stacks the curves.
	max                any     // maximum of the axis.
	decimals           any     // decimals of values; default: automatic.
	colors             []color // colors of curves; default: the palette.
	alert              string  // alert of the threshold, with a link to its runbook.
	limit              limit
	lines              []line // additional thresholds, in ascending order.
	table              bool
	traces             bool // shows the exemplars of the last query's histogram, which lead to traces.
}

type line struct {
	at    float64
	color string
}

// color sets the color of curves whose names match a pattern. Several curves get shades of the color.
type color struct{ names, color string }

type query struct{ expr, legend string }

// limit is the value above or below which a panel is red. If name is set, the chart replaces the value with the threshold of that name in
// prometheusRule.thresholds.
type limit struct {
	name  string
	value float64
	below bool
}

// threshold returns the value, or the placeholder that the chart replaces, including its quotes.
func (l limit) threshold() any {
	if l.name != "" {
		return "__THRESHOLD_" + l.name + "__"
	}
	return l.value
}

// runbooks is the directory of the runbooks, with a placeholder that the chart replaces.
const runbooks = "__RUNBOOK_URL__/"

type object = map[string]any

// step is one color of a scale, from a value upward. Grafana ignores the name of the threshold.
type step struct {
	Color     string `json:"color"`
	Threshold string `json:"threshold,omitempty"`
	Value     any    `json:"value"`
}

func (p panel) steps() []step {
	switch {
	case len(p.lines) > 0:
		out := []step{{Color: "green"}}
		for _, l := range p.lines {
			out = append(out, step{Color: l.color, Value: l.at})
		}
		return out
	case p.limit == limit{}:
		return []step{{Color: "blue"}}
	case p.limit.below:
		return []step{{Color: "red"}, {"green", p.limit.name, p.limit.threshold()}}
	default:
		return []step{{Color: "green"}, {"red", p.limit.name, p.limit.threshold()}}
	}
}

func (p panel) json(id int, at object) object {
	targets := make([]object, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": source, "expr": strings.ReplaceAll(q.expr, "@", labels),
			"legendFormat": q.legend, "range": !p.table && !p.stat, "instant": p.table || p.stat,
		}
		if p.table {
			targets[i]["format"] = "table"
		}
	}
	if p.traces {
		targets[len(targets)-1]["exemplar"] = true
	}
	defaults := object{"unit": p.unit, "thresholds": object{"mode": "absolute", "steps": p.steps()}, "min": 0}
	if p.max != nil {
		defaults["max"] = p.max
	}
	if p.max == 100 && p.limit.below { // on an axis from 0, values near 100 % would all be at the top
		delete(defaults, "min")
	}
	if p.decimals != nil {
		defaults["decimals"] = p.decimals
	}
	if p.stat && p.unit == "percent" { // a share without traffic is NaN
		nothing := object{"text": "no traffic", "color": "text", "index": 0}
		defaults["mappings"] = []object{{"type": "special", "options": object{"match": "nan", "result": nothing}}}
	}
	out := object{
		"id": id, "title": p.title, "description": p.about, "gridPos": at, "datasource": source, "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": p.overrides()},
	}
	if p.names {
		alert := "${__field.labels.alertname}"
		defaults["links"] = []object{{"title": "Runbook of " + alert, "url": runbooks + alert + ".md", "targetBlank": true}}
		out["links"] = []object{{"title": "All runbooks", "url": runbooks + "README.md", "targetBlank": true}}
	}
	if p.alert != "" {
		out["links"] = []object{{"title": "Runbook " + p.alert, "url": runbooks + p.alert + ".md", "targetBlank": true}}
	}
	p.style(out, defaults)
	return out
}

// softMax returns the value up to which the axis extends at least, or 0 for none. So the threshold is visible before the values reach it,
// and a curve at zero is visible too.
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

func (p panel) overrides() []object {
	out := []object{}
	for _, c := range p.colors {
		out = append(out, object{
			"matcher":    object{"id": "byRegexp", "options": "/^(" + c.names + ")$/"},
			"properties": []object{{"id": "color", "value": object{"mode": "shades", "fixedColor": c.color}}},
		})
	}
	return out
}

// style sets the type and the look of the panel.
func (p panel) style(out, defaults object) {
	switch {
	case p.table:
		out["type"] = "table"
		out["options"] = object{"showHeader": true}
		out["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{
			"Time": true, "__name__": true, "job": true, "namespace": true, "instance": true,
			"container": true, "endpoint": true, "service": true, "Value": true,
		}}}}
	case p.stat:
		out["type"] = "stat"
		defaults["color"] = object{"mode": "thresholds"}
		text, colored := "value", "value"
		if p.names {
			text, colored = "name", "background"
		}
		out["options"] = object{
			"colorMode": colored, "graphMode": "none", "textMode": text,
			"reduceOptions": object{"calcs": []string{"lastNotNull"}},
		}
	default:
		out["type"] = "timeseries"
		custom := object{"lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": false}
		if len(p.queries) == 1 {
			custom["fillOpacity"] = 10
		}
		if high := p.softMax(); high > 0 {
			custom["axisSoftMax"] = high
		}
		if p.stacked {
			custom["stacking"] = object{"mode": "normal", "group": "A"}
			custom["fillOpacity"] = 40
		}
		if len(p.steps()) > 1 {
			custom["thresholdsStyle"] = object{"mode": "line"}
		}
		defaults["color"], defaults["custom"] = object{"mode": "palette-classic"}, custom
		out["options"] = object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
}
