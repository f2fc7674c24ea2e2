package main

// style sets the type and the look of the panel.
func (p panel) style(out, defaults object) {
	switch p.kind {
	case table:
		out["type"], out["options"] = "table", object{"showHeader": true}
		out["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{
			"Time": true, "__name__": true, "job": true, "namespace": true, "instance": true,
			"container": true, "endpoint": true, "service": true, "Value": true,
		}}}}
	case tile, names:
		out["type"], out["options"] = "stat", p.styleOfTile(out, defaults)
	case heatmap:
		out["type"], out["options"] = "heatmap", p.styleOfHeatmap()
	default:
		out["type"] = "timeseries"
		p.styleOfCurves(defaults)
		out["options"] = object{
			"legend":  p.legend(),
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
}

// legend returns a table with the values of each curve. The curves with the highest peak come first, because Grafana shows few lines of it.
func (p panel) legend() object {
	return object{
		"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"mean", "max", "lastNotNull"},
		"sortBy": "Max", "sortDesc": true,
	}
}

func (p panel) styleOfTile(out, defaults object) object {
	defaults["color"] = object{"mode": "thresholds"}
	text, colored := "value", "value"
	if p.unit == "percent" { // a share without traffic is NaN, which Grafana replaces by null
		nothing := object{"text": "no traffic", "color": "text", "index": 0}
		defaults["mappings"] = []object{{"type": "special", "options": object{"match": "null+nan", "result": nothing}}}
	}
	if p.kind == names {
		text, colored = "value_and_name", "background"
		defaults["mappings"] = []object{{"type": "value", "options": object{"0": object{"text": "no alert", "index": 0}}}}
		alert := "${__field.labels.alertname}"
		defaults["links"] = []object{{"title": "Runbook of " + alert, "url": runbooks + alert + ".md", "targetBlank": true}}
		out["links"] = []object{{"title": "All runbooks", "url": runbooks + "README.md", "targetBlank": true}}
	}
	return object{
		"colorMode": colored, "graphMode": "none", "textMode": text,
		"reduceOptions": object{"calcs": []string{"lastNotNull"}},
	}
}

func (p panel) styleOfHeatmap() object {
	return object{
		"calculate": false, "cellGap": 1, "cellValues": object{"unit": p.unit}, "rowsFrame": object{"layout": "auto"},
		"color":     object{"mode": "scheme", "scheme": "Blues", "steps": 64, "exponent": 0.5, "fill": "blue", "reverse": false},
		"exemplars": object{"color": "purple"}, "filterValues": object{"le": 1e-9}, "legend": object{"show": true},
		"tooltip": object{"mode": "single", "yHistogram": false}, "yAxis": object{"axisPlacement": "left", "unit": "s"},
	}
}

func (p panel) styleOfCurves(defaults object) {
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
	if p.logarithmic {
		custom["scaleDistribution"] = object{"type": "log", "log": 10}
	}
	if len(p.steps()) > 1 {
		custom["thresholdsStyle"] = object{"mode": "line"}
	}
	defaults["color"], defaults["custom"] = object{"mode": "shades", "fixedColor": "blue"}, custom
}
