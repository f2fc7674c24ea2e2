package main

func process() []panel {
	return []panel{
		{
			title: "Pods", unit: "short",
			about: "Pods that are ready, and pods that Prometheus scrapes. With a rollout, the second number is larger.",
			alert: "UserServiceNotReady",
			queries: []query{
				{`sum(min by (pod) (user_service_ready{@})) or vector(0)`, "ready"},
				{`count(count by (pod) (up{@}))`, "scraped"},
			},
		},
		{
			title: "Failed readiness checks", unit: "short", stacked: true,
			about: "Pods whose check fails, by check. Each pod logs the reason in a line \"not ready\".",
			alert: "UserServiceNotReady", limit: limit{value: 1, warning: true},
			colors:  []color{{names: "database", color: "blue"}, {names: "schema", color: "purple"}, {names: ".*", color: "yellow"}},
			queries: []query{{`sum by (check) (1 - user_service_ready{@})`, "{{check}}"}},
		},
		{
			title: "CPU", unit: "short",
			about: "CPU usage of each pod's main process and of its hashing process, which has a lower priority. " +
				"With kube-state-metrics, the dashed line is the CPU request of a pod.",
			caps: []query{{`max(kube_pod_container_resource_requests{` + containers + `,resource="cpu"})`, "request of a pod"}},
			queries: []query{
				{`sum by (pod) (rate(process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}}"},
				{`sum by (pod) (rate(user_service_hashing_process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}} hashes"},
			},
		},
		{
			title: "Memory", unit: "bytes",
			about: "Memory of each pod's main process and of its hashing process. " +
				"The pod is killed if both together exceed its memory limit. " +
				"The number of concurrent hashes bounds the hashing process. With kube-state-metrics, the dashed line is the memory limit.",
			alert: "UserServiceMemoryNearLimit",
			caps:  []query{{`max(kube_pod_container_resource_limits{` + containers + `,resource="memory"})`, "limit of a pod"}},
			queries: []query{
				{`sum by (pod) (process_resident_memory_bytes{@})`, "{{pod}}"},
				{`sum by (pod) (user_service_hashing_process_resident_memory_bytes{@})`, "{{pod}} hashes"},
			},
		},
		{
			title: "Goroutines", unit: "short",
			about:   "Goroutines of each pod. A number that never falls is a leak.",
			queries: []query{{`sum by (pod) (go_goroutines{@})`, "{{pod}}"}},
		},
	}
}
