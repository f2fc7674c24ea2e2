package main

import "strings"

// kind is the type of a panel.
type kind int

const (
	curves  kind = iota // curves over time.
	tile                // the current value.
	names               // the names of alerts, with links to their runbooks.
	heatmap             // the buckets of a histogram over time.
	table
)

// panel describes one panel. In its queries, {@} means the labels that the dashboard's variables select.
type panel struct {
	title, about, unit string
	queries            []query
	kind               kind
	wide, high         int     // width (of 24) and height in grid units; default 8, or 4 for a tile.
	stacked            bool    // stacks the curves.
	logarithmic        bool    // the axis is logarithmic.
	max                any     // maximum of the axis.
	decimals           any     // decimals of values; default: automatic.
	colors             []color // colors of curves; default: one color for each query.
	caps               []query // curves of limits, drawn as dashed lines.
	alert              string  // alert of the threshold, with a link to its runbook.
	limit              limit
	lines              []line // several thresholds in ascending order, instead of limit.
	links              []object
}

// query is a query with the names of its curves.
type query struct{ expr, legend string }

// runbooks is the directory of the runbooks, with a placeholder that the chart replaces.
const runbooks = "__RUNBOOK_URL__/"

type object = map[string]any

func (p panel) size() (w, h int) {
	w, h = 8, 8
	if p.instant() && p.kind != table {
		w, h = 4, 4
	}
	if p.wide > 0 {
		w = p.wide
	}
	if p.high > 0 {
		h = p.high
	}
	return w, h
}

// instant reports whether the panel shows only current values.
func (p panel) instant() bool { return p.kind == tile || p.kind == names || p.kind == table }

func (p panel) json(id int, at object) object {
	defaults := object{"unit": p.unit, "thresholds": object{"mode": "absolute", "steps": p.steps()}, "min": 0}
	if p.max != nil {
		defaults["max"] = p.max
	}
	if p.max == 100 && p.limit.below || p.logarithmic { // on an axis from 0, all values near 100 % would look the same
		delete(defaults, "min")
	}
	if p.decimals != nil {
		defaults["decimals"] = p.decimals
	}
	if len(p.links) > 0 {
		defaults["links"] = p.links
	}
	out := object{
		"id": id, "title": p.title, "description": p.about, "gridPos": at, "datasource": source, "targets": p.targets(),
		"fieldConfig": object{"defaults": defaults, "overrides": p.overrides()},
	}
	if p.alert != "" {
		out["links"] = []object{{"title": "Runbook " + p.alert, "url": runbooks + p.alert + ".md", "targetBlank": true}}
	}
	p.style(out, defaults)
	return out
}

func (p panel) targets() []object {
	var targets []object
	for i, q := range append(append([]query{}, p.queries...), p.caps...) {
		target := object{
			"refId": string(rune('A' + i)), "datasource": source, "expr": strings.ReplaceAll(q.expr, "@", labels),
			"legendFormat": q.legend, "range": !p.instant(), "instant": p.instant(),
		}
		switch p.kind {
		case table:
			target["format"] = "table"
		case heatmap:
			target["format"] = "heatmap"
		}
		targets = append(targets, target)
	}
	if last := len(p.queries) - 1; !p.instant() && hasExemplars(p.queries[last].expr) { // all queries of a panel have the same exemplars
		targets[last]["exemplar"] = true
	}
	return targets
}

// hasExemplars reports whether a query reads one of the histograms whose samples can contain the id of a trace.
func hasExemplars(expr string) bool {
	return strings.Contains(expr, "http_server_request_duration_seconds_bucket") ||
		strings.Contains(expr, "db_client_operation_duration_seconds_bucket")
}
