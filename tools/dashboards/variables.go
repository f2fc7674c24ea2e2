package main

// source is the selected data source. labels are the labels of the selected pods. A pattern also matches a missing label, so that cluster
// is optional.
var source = object{"type": "prometheus", "uid": "${datasource}"}

const (
	release = `cluster=~"$cluster",namespace="$namespace",job="$job"`
	labels  = release + `,pod=~"$pod"`

	// containers are the labels of the containers of these pods in the metrics of the kubelet and of kube-state-metrics.
	containers = `cluster=~"$cluster",namespace="$namespace",pod=~"$pod",pod=~"$job-[0-9a-z]+-[0-9a-z]+",container="user-service"`

	// ofMailer are the labels of the mailer's pods, which the variable pod does not include.
	ofMailer = `cluster=~"$cluster",namespace="$namespace",job="$job-mailer"`
)

// variables returns the menus above the panels. The sources of logs and traces are empty if Grafana has no Loki or no Tempo.
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
