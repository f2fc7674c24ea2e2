package main

// The routes that hash a password, which have a latency objective of their own, and those that probes ask.
const (
	hashing = `/login|/register|/users/{id}/password|/password-reset/confirm`
	probes  = `http_route!~"/healthz|/readyz"`
)

var (
	latency         = limit{name: "latencySeconds", value: 0.25}
	passwordLatency = limit{name: "passwordLatencySeconds", value: 1}
)

// service is the first look when something hurts.
func service() dashboard {
	return dashboard{
		name: "service", title: "User service / Service", about: "What users feel and what each part of the service does.",
		refresh: "30s", from: "now-1h",
		rows: []row{
			{"At a glance", glance()},
			{"Requests", requests()},
			{"Accounts", accounts()},
			{"Password hashing", passwords()},
			{"PostgreSQL", database()},
			{"Events and RabbitMQ", events()},
			{"Process", process()},
		},
	}
}

const goodShare = `100 - 100 * (sum(rate(http_server_request_duration_seconds_count{@,` + probes + `,http_response_status_code=~"5.."}[5m])) or vector(0)) / sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`

const loginShare = `100 * sum(rate(user_service_logins_total{@,result="success"}[10m])) / sum(rate(user_service_logins_total{@}[10m]))`

// firing are the alerts, or a series named none.
const firing = `max by (alertname, severity) (ALERTS{` + release + `,alertstate="firing"}) or on () label_replace(vector(0), "alertname", "none", "", "")`

func glance() []panel {
	return []panel{
		{
			title: "Alerts that fire", stat: true, names: true, wide: 12, unit: "short", about: "The alerts that fire now, from any pod; none if all is well. Each leads to its runbook.",
			limit: limit{value: 1}, queries: []query{{firing, "{{alertname}} {{severity}}"}},
		},
		{
			title: "Requests", stat: true, unit: "reqps", about: "Requests a second, without those of probes.",
			queries: []query{{`sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`, ""}},
		},
		{
			title: "Requests that don't fail", stat: true, unit: "percent", decimals: 2, about: "Share of requests answered without a server error. Red is below the objective of 30 days.",
			alert: "UserServiceErrorBudgetBurn", limit: limit{name: "availabilityPercent", value: 99.9, below: true}, queries: []query{{goodShare, ""}},
		},
		{
			title: "Requests in time", stat: true, unit: "percent", decimals: 2, about: "Share of requests answered in time, by all pods. Red is below the objective of 30 days. Made of recording rules, so it needs prometheusRule.enabled.",
			alert: "UserServiceLatencyBudgetBurn", limit: limit{name: "latencyPercent", value: 99, below: true},
			queries: []query{{`100 * (1 - job:http_server_requests_slow:rate5m` + chosen + ` / job:http_server_requests:rate5m` + chosen + `)`, ""}},
		},
		{
			title: "Logins that succeed", stat: true, unit: "percent", decimals: 1, about: "Share of logins that succeed. Far below the usual: a fault, or somebody who guesses.",
			alert: "UserServiceLoginsFail", limit: limit{name: "loginSuccessPercent", value: 50, below: true}, queries: []query{{loginShare, ""}},
		},
		{
			title: "Passwords refused", stat: true, unit: "percent", decimals: 1, about: "Share of passwords that are refused with 503, as too many wait to be hashed.",
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1},
			queries: []query{{`100 * sum(rate(user_service_password_hash_refused_total{@}[5m])) / (sum(rate(user_service_password_hash_refused_total{@}[5m])) + sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`, ""}},
		},
		{
			title: "Database connections", stat: true, unit: "percent", decimals: 0, about: "Share of database connections that is in use, of the pod that has the fewest left.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90},
			queries: []query{{`100 * max(sum by (pod) (db_client_connection_count{@,db_client_connection_state="used"}) / sum by (pod) (db_client_connection_max{@}))`, ""}},
		},
		{
			title: "Oldest event", stat: true, unit: "s", about: "How long the oldest event has waited to be published; 0 if none waits.",
			alert: "UserServiceOutboxStuck", limit: limit{name: "outboxAgeSeconds", value: 60},
			queries: []query{{`max(user_service_outbox_oldest_event_age_seconds{@})`, ""}},
		},
		{
			title: "Pods without RabbitMQ", stat: true, unit: "short", about: "Pods that have no connection to RabbitMQ. They serve requests all the same; events wait if no other pod publishes them.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1}, queries: []query{{`sum(1 - user_service_rabbitmq_connected{@})`, ""}},
		},
		{
			title: "Pods", stat: true, unit: "short", about: "Pods that Prometheus reaches.",
			alert: "UserServiceDown", limit: limit{value: 1, below: true}, queries: []query{{`sum(up{@})`, ""}},
		},
		{
			title: "Alerts over time", wide: 24, high: 6, unit: "short", decimals: 0, stacked: true, about: "Which alerts fired when, one on the other. All panels mark these times.",
			queries: []query{{firing, "{{alertname}} {{severity}}"}},
		},
	}
}

func requests() []panel {
	return []panel{
		{
			title: "Requests by route", unit: "reqps", stacked: true, about: "Requests a second by the pattern of their route; unmatched are paths that don't exist.",
			queries: []query{rateBy("http_server_request_duration_seconds_count", "http_route")},
		},
		{
			title: "Answers by status", unit: "reqps", stacked: true, about: "Answers a second by status. 5xx are ours, 429 are limits, 401 on /login are wrong passwords.",
			colors:  []color{{"2..", "green"}, {"3..", "blue"}, {"4..", "yellow"}, {"5..", "red"}},
			queries: []query{rateBy("http_server_request_duration_seconds_count", "http_response_status_code")},
		},
		{
			title: "Requests in flight", unit: "short", stacked: true, about: "Requests that are being answered now. A growing number means that something behind the service is slow.",
			queries: []query{{`sum by (pod) (http_server_active_requests{@})`, "{{pod}}"}},
		},
		{
			title: "Time to answer", unit: "s", about: "Time to answer requests that hash no password. The line is the objective.",
			alert: "UserServiceLatencyBudgetBurn", limit: latency, colors: tails,
			queries: quantiles("http_server_request_duration_seconds", `@,`+probes+`,http_route!~"`+hashing+`"`),
		},
		{
			title: "Time to answer with a password", unit: "s", about: "Time to answer requests that hash a password: hashing is slow by design, and has a queue. The line is the objective.",
			alert: "UserServiceLatencyBudgetBurn", limit: passwordLatency, colors: tails,
			queries: quantiles("http_server_request_duration_seconds", `@,http_route=~"`+hashing+`"`),
		},
		{
			title: "Refused by limits", unit: "reqps", about: "Requests that a limit refused, by its name: address and network count anonymous requests, account those that write, login is the backoff after wrong passwords, queue and bodies bound what waits.",
			queries: []query{rateBy("user_service_rate_limited_total", "policy")},
		},
		{
			title: "Bodies in transit", unit: "bytes", about: "Bytes of request bodies that each pod is receiving, beyond 4 KiB of each. At 8 MiB further large bodies get 503.",
			queries: []query{{`sum by (pod) (user_service_request_body_bytes{@})`, "{{pod}}"}},
		},
	}
}

// results are the colors of what logins and refreshes end with: red is our fault.
var results = []color{{"success", "green"}, {"invalid-.*", "yellow"}, {"too-many-requests", "orange"}, {"validation-failed", "blue"}, {"overloaded|unavailable|_OTHER", "red"}}

func accounts() []panel {
	return []panel{
		{
			title: "Logins by result", unit: "reqps", stacked: true, about: "Logins a second by result: overloaded and unavailable are ours, too-many-requests is the wait after wrong passwords.",
			colors: results, queries: []query{rateBy("user_service_logins_total", "result")},
		},
		{
			title: "Refreshes by result", unit: "reqps", stacked: true, about: "Uses of refresh tokens a second by result. Many invalid ones: sessions ended, a secret changed without being accepted, or theft.",
			colors:  results,
			queries: []query{rateBy("user_service_refreshes_total", "result")},
		},
		{
			title: "Signs of an attack", unit: "short", about: "In 5 minutes: backoffs that began after wrong passwords, used refresh tokens presented again, which ended their session, and requested resets that were dropped.",
			queries: []query{
				{`sum(increase(user_service_lockouts_total{@}[5m]))`, "locked out"},
				{`sum(increase(user_service_refresh_token_reuses_total{@}[5m]))`, "tokens reused"},
				{`sum(increase(user_service_password_resets_dropped_total{@}[5m]))`, "resets dropped"},
			},
		},
	}
}

func passwords() []panel {
	return []panel{
		{
			title: "Running and waiting", unit: "short", about: "Passwords that are being hashed and that wait. The queue is bounded: what does not fit is refused with 503.",
			queries: []query{{`sum(user_service_password_hash_running{@})`, "running"}, {`sum(user_service_password_hash_queued{@})`, "waiting"}},
		},
		{
			title: "Wait and hash", unit: "s", about: "How long passwords wait for their turn, and how long one hash takes. A longer hash means a CPU that is throttled, shared, or busy with other requests, which go first.",
			queries: []query{
				{quantiles("user_service_password_hash_wait_seconds", "@")[1].expr, "wait, 95 %"},
				{quantiles("user_service_password_hash_duration_seconds", "@")[1].expr, "hash, 95 %"},
			},
		},
		{
			title: "Refused passwords", unit: "percent", about: "Share of passwords refused with 503, by reason: the queue was full, the wait too long, or no process hashes.",
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1},
			queries: []query{{`100 * sum by (reason) (rate(user_service_password_hash_refused_total{@}[5m])) / on () group_left () (sum(rate(user_service_password_hash_refused_total{@}[5m])) + sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`, "{{reason}}"}},
		},
	}
}

func database() []panel {
	return []panel{
		{
			title: "Time of queries", unit: "s", about: "Time of 95 % of the queries by operation. BATCH is several queries on one way to the server and back.",
			queries: []query{{`histogram_quantile(0.95, sum by (le, db_operation_name) (rate(db_client_operation_duration_seconds_bucket{@}[$__rate_interval]))) >= 0`, "{{db_operation_name}}"}},
		},
		{title: "Queries", unit: "ops", stacked: true, about: "Queries a second by operation.", queries: []query{rateBy("db_client_operation_duration_seconds_count", "db_operation_name")}},
		{
			title: "Failed queries", unit: "ops", stacked: true, about: "Queries a second that fail, by the class of PostgreSQL's error code: 08 connection, 23 a rule of the data, 40 conflict, 53 resources, 57 shut down. 23 is part of normal life.",
			queries: []query{{`sum by (error_type) (rate(db_client_operation_duration_seconds_count{@,error_type!=""}[$__rate_interval])) or on () label_replace(0 * sum(up{@}), "error_type", "none", "", "")`, "{{error_type}}"}},
		},
		{
			title: "Connections in use", unit: "percent", max: 100, about: "Share of each pod's connections that is in use. At 100 % requests wait, and get 503 after 1.8 s.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90},
			queries: []query{{`100 * sum by (pod) (db_client_connection_count{@,db_client_connection_state="used"}) / sum by (pod) (db_client_connection_max{@})`, "{{pod}}"}},
		},
		{
			title: "Wait for a connection", unit: "s", about: "Average time to get a connection from the pool.",
			queries: []query{{`sum by (pod) (rate(db_client_connection_wait_time_seconds_sum{@}[$__rate_interval])) / sum by (pod) (rate(db_client_connection_wait_time_seconds_count{@}[$__rate_interval])) >= 0`, "{{pod}}"}},
		},
		{
			title: "Waits given up", unit: "ops", about: "Waits for a connection that were given up, each a request or a scrape without an answer.",
			queries: []query{{`sum by (pod) (rate(db_client_connection_timeouts_total{@}[$__rate_interval]))`, "{{pod}}"}},
		},
	}
}

func events() []panel {
	return []panel{
		{
			title: "Age of the oldest event", unit: "s", about: "How long the oldest event has waited. It grows while RabbitMQ is away and falls to 0 when all is published.",
			alert: "UserServiceOutboxStuck", limit: limit{name: "outboxAgeSeconds", value: 60},
			queries: []query{{`max(user_service_outbox_oldest_event_age_seconds{@})`, "age"}},
		},
		{title: "Waiting events", unit: "short", about: "Events in the outbox; 100000 stands for so many or more.", queries: []query{{`max(user_service_outbox_pending_events{@})`, "waiting"}}},
		{
			title: "Parked events", unit: "short", about: "Events that RabbitMQ has refused 20 times in a row. Each blocks the later events of its own user, and is tried every 10 minutes.",
			alert: "UserServiceEventsParked", limit: limit{value: 1}, queries: []query{{`max by (type) (user_service_outbox_parked_events{@})`, "{{type}}"}},
		},
		{
			title: "Connected to RabbitMQ", unit: "short", max: 1, about: "1 for each pod that has a connection to RabbitMQ. Requests are served without one.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1, below: true}, queries: []query{{`sum by (pod) (user_service_rabbitmq_connected{@})`, "{{pod}}"}},
		},
		{title: "Published events", unit: "ops", stacked: true, about: "Events a second that RabbitMQ has confirmed, by type.", queries: []query{rateBy("user_service_outbox_published_total", "type")}},
		{
			title: "Events tried again, refused, returned", unit: "ops", about: "Events a second whose publishing failed and is tried again, that RabbitMQ refused, and that no queue took: is a consumer's queue missing?",
			queries: []query{
				{`sum(rate(user_service_outbox_failed_total{@}[$__rate_interval]))`, "tried again"},
				{`sum(rate(user_service_rabbitmq_nacked_total{@}[$__rate_interval]))`, "refused"},
				{`sum(rate(user_service_events_unroutable_total{@}[$__rate_interval]))`, "returned: no queue"},
			},
		},
		{
			title: "Time to publish", unit: "s", about: "From the change to RabbitMQ's confirm, and of that the confirm itself.",
			queries: []query{
				{quantiles("user_service_outbox_delivery_seconds", "@")[0].expr, "from the change, half"},
				{quantiles("user_service_outbox_delivery_seconds", "@")[2].expr, "from the change, 99 %"},
				{quantiles("user_service_rabbitmq_confirm_duration_seconds", "@")[2].expr, "confirm, 99 %"},
			},
		},
	}
}

func process() []panel {
	return []panel{
		{title: "CPU", unit: "short", about: "CPUs that each pod uses, and that its process that hashes passwords takes of what is left.", queries: []query{
			{`sum by (pod) (rate(process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}}"},
			{`sum by (pod) (rate(user_service_hashing_process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}} hashes"},
		}},
		{
			title: "Memory", unit: "bytes", about: "Memory that each pod holds, and its process that hashes passwords, which is bounded by the hashes at once. The pod is killed when both reach its limit.",
			queries: []query{
				{`sum by (pod) (process_resident_memory_bytes{@})`, "{{pod}}"},
				{`sum by (pod) (user_service_hashing_process_resident_memory_bytes{@})`, "{{pod}} hashes"},
			},
		},
		{title: "Goroutines", unit: "short", about: "Goroutines of each pod. A number that only grows is a leak.", queries: []query{{`sum by (pod) (go_goroutines{@})`, "{{pod}}"}}},
	}
}
