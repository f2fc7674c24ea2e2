package main

// rollout is for who deploys, and who changes keys and data.
func rollout() dashboard {
	return dashboard{
		name: "rollout", title: "User service / Rollout and data", about: "Which build runs on which schema, whether pods stay up, and how old keys and data are.",
		refresh: "30s", from: "now-3h",
		rows: []row{{"Rollout", builds()}, {"Schema and secrets", schema()}, {"Data", data()}},
	}
}

func builds() []panel {
	return []panel{
		{
			title: "Builds", table: true, unit: "short", about: "The build of each pod. Two versions for long: a rollout hangs.",
			queries: []query{{`user_service_build_info{@}`, ""}},
		},
		{
			title: "Pods by version", unit: "short", stacked: true, about: "How many pods run each version.",
			queries: []query{{`sum by (version) (user_service_build_info{@})`, "{{version}}"}},
		},
		{
			title: "Pods that are reached", unit: "short", about: "1 for each pod that Prometheus reaches, else 0.", max: 1,
			alert: "UserServicePodUnreachable", limit: limit{value: 1, below: true}, queries: []query{{`sum by (pod) (up{@})`, "{{pod}}"}},
		},
		{
			title: "Starts within 15 minutes", unit: "short", about: "How often the process of each pod started again. Ask kubectl describe why.",
			alert: "UserServiceCrashLoop", limit: limit{name: "crashLoopRestarts", value: 3},
			queries: []query{{`max by (pod) (changes(process_start_time_seconds{@}[15m]))`, "{{pod}}"}},
		},
		{title: "Age of the process", unit: "s", decimals: 0, about: "How long each pod has been running.", queries: []query{{`time() - max by (pod) (process_start_time_seconds{@})`, "{{pod}}"}}},
		{
			title: "Server errors by pod", unit: "reqps", about: "5xx a second by pod: during a rollout, those of the new build.",
			queries: []query{{`sum by (pod) (rate(http_server_request_duration_seconds_count{@,` + probes + `,http_response_status_code=~"5.."}[$__rate_interval])) or 0 * sum by (pod) (up{@})`, "{{pod}}"}},
		},
	}
}

func schema() []panel {
	return []panel{
		{
			title: "Schema", unit: "short", about: "The version of the schema and the least one that each pod needs. A pod whose need is higher is not ready.",
			queries: []query{{`min(user_service_schema_version{@})`, "schema"}, {`max by (pod) (user_service_schema_version_required{@})`, "needed by {{pod}}"}},
		},
		{
			title: "Pods that wait for the schema", unit: "short", about: "1 for each pod whose schema is too old.",
			alert: "UserServiceSchemaBehind", limit: limit{value: 1},
			queries: []query{{`min by (pod) (user_service_schema_version{@}) < bool min by (pod) (user_service_schema_version_required{@})`, "{{pod}}"}},
		},
		{
			title: "Refused secrets", unit: "short", about: "Changed secrets that a pod does not take up. The log names the variable and the reason.",
			alert: "UserServiceSecretRejected", limit: limit{value: 1}, queries: []query{{`max by (pod) (user_service_secrets_reload_failed{@})`, "{{pod}}"}},
		},
		{
			title: "Age of keys", unit: "d", decimals: 1, wide: 12, about: "How long each key of tokens has been in use. A key that signs is to be changed before the line.",
			alert: "UserServiceKeyNearItsEnd", limit: limit{name: "keyAgeDays", value: 335},
			queries: []query{{`(time() - max by (kid, algorithm, use) (user_service_token_key_since_timestamp_seconds{@})) / 86400`, "{{kid}} {{algorithm}} {{use}}"}},
		},
		{
			title: "Scrapes without an answer of the database", unit: "ops", wide: 12, about: "Scrapes for which the database did not tell the outbox, the schema or the keys; their metrics are absent then.",
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
			title: "Deleted rows", unit: "short", stacked: true, wide: 12, about: "Rows deleted within 5 minutes as they were over, by table.",
			queries: []query{{`sum by (table) (increase(user_service_cleanup_rows_total{@}[5m]))`, "{{table}}"}},
		},
		{
			title: "Runs of the deletion", unit: "short", wide: 12, about: "Runs within 15 minutes by result; each pod runs once a minute. Without success the tables grow.",
			queries: []query{{`sum by (result) (increase(user_service_cleanup_runs_total{@}[15m]))`, "{{result}}"}},
		},
	}
}
