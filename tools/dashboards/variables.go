package main

// source is the selected data source.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// release selects all pods of the release, and labels the selected pods. The pattern of cluster also matches metrics without this label.
const (
	release = `cluster=~"$cluster",namespace="$namespace",job="$job"`
	labels  = release + `,pod=~"$pod"`

	// containers selects the containers of these pods in the metrics of the kubelet and of kube-state-metrics.
	containers = `cluster=~"$cluster",namespace="$namespace",pod=~"$pod",pod=~"$job-[0-9a-z]+-[0-9a-z]+",container="user-service"`

	// mailerLabels select the mailer's pods, which the variable pod does not include.
	mailerLabels = `cluster=~"$cluster",namespace="$namespace",job="$job-mailer"`
)

// variables returns the menus above the panels. The menu of logs is empty without Loki, and the menu of traces without Tempo.
func variables() []object {
	all := object{"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"}}
	return []object{
		dataSource("datasource", "Metrics", "prometheus"),
		menu("cluster", "Cluster", `label_values(user_service_build_info, cluster)`, all),
		menu("namespace", "Namespace", `label_values(user_service_build_info{cluster=~"$cluster"}, namespace)`, nil),
		menu("job", "Job", `label_values(user_service_build_info{cluster=~"$cluster",namespace="$namespace"}, job)`, nil),
		menu("pod", "Pod", `label_values(user_service_build_info{`+release+`}, pod)`, all),
		dataSource("logs", "Logs", "loki"),
		dataSource("traces", "Traces", "tempo"),
	}
}

func dataSource(name, title, kind string) object {
	return object{"type": "datasource", "name": name, "label": title, "query": kind, "current": object{}}
}

// menu returns a variable whose values come from a query.
func menu(name, title, text string, more object) object {
	out := object{
		"type": "query", "name": name, "label": title, "datasource": source, "query": object{"query": text, "refId": name},
		"refresh": 2, "sort": 1, "current": object{},
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}
