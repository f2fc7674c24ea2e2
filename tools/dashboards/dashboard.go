package main

import "strings"

// dashboard describes a dashboard with its rows of panels.
type dashboard struct {
	name, title, about string
	refresh, from      string
	rows               []row
}

type row struct {
	title  string
	panels []panel
}

// source is the selected data source. labels are the labels of the selected pods.
var source = object{"type": "prometheus", "uid": "${datasource}"}

const (
	release = `namespace="$namespace",job="$job"`
	labels  = release + `,pod=~"$pod"`
)

func (d dashboard) json() object {
	return object{
		"uid": "user-service-" + d.name, "title": d.title, "description": d.about, "tags": []string{"user-service"},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, "timezone": "browser", "refresh": d.refresh,
		"time": object{"from": d.from, "to": "now"}, "templating": object{"list": variables()}, "panels": d.panels(),
		"links": []object{
			{
				"type": "dashboards", "title": "User service", "tags": []string{"user-service"}, "asDropdown": false,
				"includeVars": true, "keepTime": true, "icon": "external link", "targetBlank": false,
			},
			{"type": "link", "title": "Runbooks", "url": runbooks, "icon": "doc", "targetBlank": true, "tags": []string{}},
		},
		"annotations": object{"list": []object{
			annotation("Alerts", "red", `ALERTS{`+release+`,alertstate="firing"}`, "{{alertname}}", "{{severity}} {{pod}} {{window}}"),
			annotation("Starts", "blue", `changes(process_start_time_seconds{@}[1m]) > 0`, "{{pod}} starts", ""),
		}},
	}
}

// annotation marks, in all panels, the times at which a query has a value.
func annotation(name, color, expr, title, text string) object {
	return object{
		"name": name, "enable": true, "iconColor": color, "datasource": source, "expr": strings.ReplaceAll(expr, "@", labels),
		"step": "30s", "titleFormat": title, "textFormat": text, "useValueForTime": false,
	}
}

// panels places the panels of each row from left to right, and the rows from top to bottom.
func (d dashboard) panels() []object {
	var out []object
	y := 0
	for _, r := range d.rows {
		out = append(out, object{
			"id": len(out) + 1, "type": "row", "title": r.title, "collapsed": false, "panels": []any{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		y++
		x, high := 0, 0
		for _, p := range r.panels {
			w, h := p.size()
			if x+w > 24 {
				x, y = 0, y+high
			}
			out = append(out, p.json(len(out)+1, object{"x": x, "y": y, "w": w, "h": h}))
			x, high = x+w, h
		}
		y += high
	}
	return out
}

func (p panel) size() (w, h int) {
	w, h = 8, 8
	if p.stat {
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

func variables() []object {
	query := func(name, label, text string, more object) object {
		out := object{
			"type": "query", "name": name, "label": label, "datasource": source, "query": object{"query": text, "refId": name},
			"definition": text, "refresh": 2, "sort": 1, "current": object{},
		}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	return []object{
		{"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "current": object{}},
		query("namespace", "Namespace", "label_values(user_service_build_info, namespace)", nil),
		query("job", "Job", `label_values(user_service_build_info{namespace="$namespace"}, job)`, nil),
		query("pod", "Pod", `label_values(user_service_build_info{namespace="$namespace",job="$job"}, pod)`, object{
			"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		}),
	}
}

// tails are the colors of quantiles.
var tails = []color{{"p50", "green"}, {"p95", "yellow"}, {"p99", "orange"}}

// quantiles returns queries for the median and the tail of a histogram with the given labels. The comparison in each query drops NaN,
// because Grafana would draw it. A histogram without data has the value NaN.
func quantiles(histogram, chosen string) []query {
	var out []query
	for _, q := range []struct{ q, legend string }{{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}} {
		buckets := "sum by (le) (rate(" + histogram + "_bucket{" + chosen + "}[$__rate_interval]))"
		out = append(out, query{"histogram_quantile(" + q.q + ", " + buckets + ") >= 0", q.legend})
	}
	return out
}

// rateBy returns the query for a counter's rate by a label.
func rateBy(counter, label string) query {
	return query{"sum by (" + label + ") (rate(" + counter + "{@}[$__rate_interval]))", "{{" + label + "}}"}
}
