package main

// rollout returns the dashboard for deployments and for changes of keys and data.
func rollout() dashboard {
	return dashboard{
		name: "rollout", title: "User service / Rollout and data", about: "Builds, schema versions, restarts, token keys and cleanup.",
		refresh: "30s", from: "now-3h",
		rows: []row{
			{"Rollout", builds(), false},
			{"Schema and secrets", schema(), false},
			{"Data", data(), false},
			{"Deployment and migration (kube-state-metrics)", rolloutPanels(), true},
		},
	}
}

func builds() []panel {
	return []panel{
		{
			title: "Builds", kind: table, unit: "short",
			about:   "Build of each pod. Two versions over a long time mean that a rollout hangs.",
			queries: []query{{`user_service_build_info{@}`, ""}},
		},
		{
			title: "Pods by version", unit: "short", stacked: true, about: "Number of pods by version.",
			queries: []query{{`sum by (version) (user_service_build_info{@})`, "{{version}}"}},
		},
		{
			title: "Reachable pods", unit: "short", about: "1 for each pod that Prometheus can reach, otherwise 0.", max: 1,
			alert: "UserServicePodUnreachable", limit: limit{value: 1, below: true, warning: true},
			queries: []query{{`sum by (pod) (up{@})`, "{{pod}}"}},
		},
		{
			title: "Starts within 15 minutes", unit: "short", about: "Restarts of each pod's process. kubectl describe shows the reason.",
			alert: "UserServiceCrashLoop", limit: limit{name: "crashLoopRestarts", value: 3, warning: true},
			queries: []query{{
				`sum by (pod) (sum_over_time((abs(process_start_time_seconds{@} - ` +
					`last_over_time(process_start_time_seconds{@}[5m] offset 1m)) ` +
					`> bool 5)[15m:1m])) or 0 * sum by (pod) (up{@})`,
				"{{pod}}",
			}},
		},
		{
			title: "Age of the process", unit: "s", decimals: 0,
			about:   "Time since the start of each pod's process.",
			queries: []query{{`time() - max by (pod) (process_start_time_seconds{@})`, "{{pod}}"}},
		},
		{
			title: "Server errors by pod", unit: "reqps",
			about: "5xx per second by pod. During a rollout, compare the pods of the new build.",
			queries: []query{{
				`sum by (pod) (rate(http_server_request_duration_seconds_count{@,` + probes +
					`,http_response_status_code=~"5.."}[$__rate_interval])) or 0 * sum by (pod) (up{@})`,
				"{{pod}}",
			}},
		},
	}
}

func schema() []panel {
	return []panel{
		{
			title: "Schema", unit: "short",
			about: "Version of the schema, and the minimum version for each pod. A pod that needs a newer schema is not ready.",
			queries: []query{
				{`min(user_service_schema_version{@})`, "schema"},
				{`max by (pod) (user_service_schema_version_required{@})`, "needed by {{pod}}"},
			},
		},
		{
			title: "Pods waiting for the schema", unit: "short", about: "1 for each pod that needs a newer schema.",
			alert: "UserServiceSchemaBehind", limit: limit{value: 1, warning: true},
			queries: []query{{
				`min by (pod) (user_service_schema_version{@}) < bool min by (pod) (user_service_schema_version_required{@})`, "{{pod}}",
			}},
		},
		{
			title: "Rejected secrets", unit: "short",
			about: "Changed secrets that a pod rejects. The log contains the variable and the reason.",
			alert: "UserServiceSecretRejected", limit: limit{value: 1, warning: true},
			queries: []query{{`max by (pod) (user_service_secrets_reload_failed{@})`, "{{pod}}"}},
		},
		{
			title: "Age of keys", unit: "d", decimals: 1,
			about: "Time since the first use of each token key. Replace a signing key before it reaches the line.",
			alert: "UserServiceKeyNearItsEnd", limit: limit{name: "keyAgeDays", value: 335, warning: true},
			queries: []query{{
				`(time() - max by (kid, algorithm, use) (user_service_token_key_since_timestamp_seconds{@})) / 86400`,
				"{{kid}} {{algorithm}} {{use}}",
			}},
		},
		{
			title: "Days until certificates expire", unit: "d", decimals: 1,
			about: "Days until the first certificate of each file expires. Without a certificate, there is no data.",
			alert: "UserServiceCertificateNearExpiry", limit: limit{name: "certificateDays", value: 14, below: true, warning: true},
			queries: []query{{`(min by (use) (user_service_certificate_expiry_timestamp_seconds{@}) - time()) / 86400`, "{{use}}"}},
		},
		{
			title: "Scrapes without data from the database", unit: "ops",
			about: "Scrapes per second without metrics of the outbox, the schema or the keys, because the database query failed.",
			queries: []query{
				{`sum(rate(user_service_outbox_scrape_errors_total{@}[$__rate_interval]))`, "outbox"},
				{`sum(rate(user_service_schema_scrape_errors_total{@}[$__rate_interval]))`, "schema"},
				{`sum(rate(user_service_token_key_scrape_errors_total{@}[$__rate_interval]))`, "keys"},
			},
		},
	}
}

func data() []panel {
	return []panel{
		{
			title: "Deleted rows", unit: "short", stacked: true, wide: 12, about: "Expired rows deleted within 5 minutes, by table.",
			colors: []color{
				{names: "sessions|one_time_tokens|idempotency_keys", color: "blue"},
				{names: "login_.*|password_failures", color: "purple"},
				{names: "audit_events", color: "green"},
				{names: ".*", color: "yellow"},
			},
			queries: []query{{`sum by (table) (increase(user_service_cleanup_rows_total{@}[5m]))`, "{{table}}"}},
		},
		{
			title: "Cleanup runs", unit: "short", wide: 12,
			about: "Cleanup runs within 15 minutes, by result. Each pod runs the cleanup once a minute. If all runs fail, the tables grow.",
			alert: "UserServiceCleanupFails", colors: []color{{names: "success", color: "green"}, {names: "failure", color: warning}},
			queries: []query{{`sum by (result) (increase(user_service_cleanup_runs_total{@}[15m]))`, "{{result}}"}},
		},
	}
}
