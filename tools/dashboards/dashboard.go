package main

import "strings"

// dashboard describes a dashboard with its rows of panels.
type dashboard struct {
	name, title, about string
	refresh, from      string
	rows               []row
}

// row is a row of panels. A collapsed row queries nothing until it is opened.
type row struct {
	title     string
	panels    []panel
	collapsed bool
}

func (d dashboard) json() object {
	return object{
		"uid": "user-service-" + d.name, "title": d.title, "description": d.about, "tags": []string{"user-service"},
		"schemaVersion": 41, "version": 1, "editable": false, "graphTooltip": 1, "timezone": "browser", "refresh": d.refresh,
		"time": object{"from": d.from, "to": "now"}, "templating": object{"list": variables()}, "panels": d.panels(),
		"links": links(), "annotations": object{"list": annotations()},
	}
}

// alerts selects the alerts of the release and of its mailer. It also selects alerts without the label job, which concern objects of
// Kubernetes in the namespace.
func alerts(metric, more string) string {
	return metric + `{cluster=~"$cluster",namespace="$namespace",job=~"$job|$job-mailer|"` + more + `}`
}

// annotations returns the events that all panels mark. The marks of events in Kubernetes need kube-state-metrics.
func annotations() []object {
	const text = "{{severity}} {{pod}} {{window}}"
	return []object{
		annotation("Critical alerts", critical, alerts("ALERTS", `,alertstate="firing",severity="critical"`), "{{alertname}}", text, true),
		annotation("Warnings", warning, alerts("ALERTS", `,alertstate="firing",severity="warning"`), "{{alertname}}", text, false),
		annotation("Starts", "blue", `time() - process_start_time_seconds{@} < 60`, "{{pod}} starts", "", true),
		annotation("Deploys", "purple", `count by (version, revision) (user_service_build_info{@}) `+
			`unless count by (version, revision) (user_service_build_info{@} offset 1m)`, "{{version}} is new", "{{revision}}", true),
		annotation("Migrations", "yellow", `max by (job_name) (kube_job_status_active{`+migrations+`}) > 0`,
			"{{job_name}} runs", "", true),
		annotation("Autoscaling", "green", `max by (horizontalpodautoscaler) `+
			`(changes(kube_horizontalpodautoscaler_status_desired_replicas{`+autoscaler+`}[1m])) > 0`,
			"{{horizontalpodautoscaler}} changes the number of pods", "", false),
	}
}

// annotation marks, in all panels, the times at which a query has a value.
func annotation(name, color, expr, title, text string, enabled bool) object {
	return object{
		"name": name, "enable": enabled, "iconColor": color, "datasource": source,
		"target":      object{"refId": "A", "expr": strings.ReplaceAll(expr, "@", labels), "interval": "30s"},
		"titleFormat": title, "textFormat": text, "useValueForTime": false,
	}
}

// panels places the panels of each row from left to right, and the rows from top to bottom. Grafana keeps the panels of a collapsed row in
// the row.
func (d dashboard) panels() []object {
	var out []object
	id, y := 0, 0
	for _, r := range d.rows {
		id++
		head := object{
			"id": id, "type": "row", "title": r.title, "collapsed": r.collapsed, "panels": []any{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		}
		y++
		panels, high := r.place(id, y)
		out = append(out, head)
		id += len(panels)
		if r.collapsed {
			head["panels"] = panels
			continue
		}
		out = append(out, panels...)
		y += high
	}
	return out
}

// place returns the panels of a row, and their total height.
func (r row) place(id, y int) (panels []object, high int) {
	x, top, lowest := 0, y, 0
	for _, p := range r.panels {
		w, h := p.size()
		if x+w > 24 {
			x, y = 0, y+lowest
		}
		panels = append(panels, p.json(id+len(panels)+1, object{"x": x, "y": y, "w": w, "h": h}))
		x, lowest = x+w, h
	}
	return panels, y + lowest - top
}

// quantiles returns queries for the median and the tail of a histogram with the given labels. The comparison in each query drops NaN,
// because Grafana would draw it. A histogram without data has the value NaN.
func quantiles(histogram, chosen string) []query {
	var out []query
	for _, q := range []struct{ q, legend string }{{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}} {
		out = append(out, query{"histogram_quantile(" + q.q + ", " + bucketRates(histogram, chosen) + ") >= 0", q.legend})
	}
	return out
}

// bucketRates returns the query for the rates of a histogram by the label le.
func bucketRates(histogram, chosen string) string {
	return "sum by (le) (rate(" + histogram + "_bucket{" + chosen + "}[$__rate_interval]))"
}

// rateBy returns the query for a counter's rate by a label.
func rateBy(counter, label string) query {
	return query{"sum by (" + label + ") (rate(" + counter + "{@}[$__rate_interval]))", "{{" + label + "}}"}
}
