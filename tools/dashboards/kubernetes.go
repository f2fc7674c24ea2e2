package main

// The labels of objects in kube-state-metrics: the autoscaler, the Deployment, and the Jobs of migrations.
const (
	autoscaler = `cluster=~"$cluster",namespace="$namespace",horizontalpodautoscaler="$job"`
	deployment = `cluster=~"$cluster",namespace="$namespace",deployment="$job"`
	migrations = `cluster=~"$cluster",namespace="$namespace",job_name=~"$job-migrate-[0-9a-f]+"`
)

// containerPanels returns panels that need the metrics of kube-state-metrics and of the kubelet.
func containerPanels() []panel {
	return []panel{
		{
			title: "Memory of the limit", unit: "percent", max: 100,
			about: "Memory of each pod, as a share of its limit. At 100 %, Kubernetes kills the process.",
			alert: "UserServiceMemoryNearLimit", limit: limit{name: "memoryUsedPercent", value: 90, warning: true},
			queries: []query{{
				`100 * max by (pod) (container_memory_working_set_bytes{` + containers + `}) ` +
					`/ max by (pod) (kube_pod_container_resource_limits{` + containers + `,resource="memory"})`, "{{pod}}",
			}},
		},
		{
			title: "CPU of the containers", unit: "short",
			about:   "CPU usage of each pod. The dashed lines are the request and the limit of a pod, if they are set.",
			queries: []query{{`sum by (pod) (rate(container_cpu_usage_seconds_total{` + containers + `}[$__rate_interval]))`, "{{pod}}"}},
			caps: []query{
				{`max(kube_pod_container_resource_requests{` + containers + `,resource="cpu"})`, "request"},
				{`max(kube_pod_container_resource_limits{` + containers + `,resource="cpu"})`, "limit"},
			},
		},
		{
			title: "CPU throttling", unit: "percent", max: 100,
			about: "Share of the scheduler's periods in which a pod had to wait because of its CPU limit. There is no data without a " +
				"limit.",
			queries: []query{{
				`100 * sum by (pod) (rate(container_cpu_cfs_throttled_periods_total{` + containers + `}[$__rate_interval])) ` +
					`/ sum by (pod) (rate(container_cpu_cfs_periods_total{` + containers + `}[$__rate_interval]))`, "{{pod}}",
			}},
		},
		{
			title: "Restarts of the containers", unit: "short", decimals: 0,
			about: "Restarts of each pod within 15 minutes, and pods whose last restart followed a kill for memory.",
			alert: "UserServiceCrashLoop",
			queries: []query{
				{`sum by (pod) (increase(kube_pod_container_status_restarts_total{` + containers + `}[15m]))`, "{{pod}}"},
				{
					`sum by (pod) (kube_pod_container_status_last_terminated_reason{` + containers + `,reason="OOMKilled"}) > 0`,
					"{{pod}} killed for memory",
				},
			},
		},
		{
			title: "Desired and available pods", unit: "short", decimals: 0,
			about: "Pods that the Deployment wants, and available pods. The dashed line is the maximum of the autoscaler.",
			alert: "UserServiceAutoscalerAtMaximum",
			queries: []query{
				{`max(kube_deployment_spec_replicas{` + deployment + `})`, "desired"},
				{`max(kube_deployment_status_replicas_available{` + deployment + `})`, "available"},
			},
			caps: []query{{`max(kube_horizontalpodautoscaler_spec_max_replicas{` + autoscaler + `})`, "maximum of the autoscaler"}},
		},
	}
}

// rolloutPanels returns panels that need the metrics of kube-state-metrics.
func rolloutPanels() []panel {
	return []panel{
		{
			title: "Deployment", unit: "short", decimals: 0,
			about: "Pods of the Deployment. A rollout has ended when all desired pods are updated and available.",
			queries: []query{
				{`max(kube_deployment_spec_replicas{` + deployment + `})`, "desired"},
				{`max(kube_deployment_status_replicas_updated{` + deployment + `})`, "updated"},
				{`max(kube_deployment_status_replicas_available{` + deployment + `})`, "available"},
			},
		},
		{
			title: "Autoscaler", unit: "short", decimals: 0,
			about: "Current and desired pods of the autoscaler. The dashed lines are its minimum and its maximum.",
			alert: "UserServiceAutoscalerAtMaximum",
			queries: []query{
				{`max(kube_horizontalpodautoscaler_status_current_replicas{` + autoscaler + `})`, "current"},
				{`max(kube_horizontalpodautoscaler_status_desired_replicas{` + autoscaler + `})`, "desired"},
			},
			caps: []query{
				{`max(kube_horizontalpodautoscaler_spec_min_replicas{` + autoscaler + `})`, "minimum"},
				{`max(kube_horizontalpodautoscaler_spec_max_replicas{` + autoscaler + `})`, "maximum"},
			},
		},
		{
			title: "Migration Jobs", unit: "short", decimals: 0,
			about: "State of the migration of each release: 1 while it runs, after its success, or after its failure.",
			alert: "UserServiceMigrationFailed",
			colors: []color{
				{names: ".* runs", color: "blue"}, {names: ".* succeeded", color: "green"}, {names: ".* failed", color: warning},
			},
			queries: []query{
				{`max by (job_name) (kube_job_status_active{` + migrations + `})`, "{{job_name}} runs"},
				{`max by (job_name) (kube_job_status_succeeded{` + migrations + `})`, "{{job_name}} succeeded"},
				{`max by (job_name) (kube_job_failed{` + migrations + `,condition="true"})`, "{{job_name}} failed"},
			},
		},
	}
}
