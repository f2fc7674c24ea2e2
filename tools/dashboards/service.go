package main

// hashing are the routes that hash a password; they have a separate latency objective. probes excludes the probes' routes.
const (
	hashing = `/login|/register|/users/{id}/password|/password-reset/confirm`
	probes  = `http_route!~"/healthz|/readyz"`
)

var (
	latency         = limit{name: "latencySeconds", value: 0.25}
	passwordLatency = limit{name: "passwordLatencySeconds", value: 1}
)

// service returns the dashboard for the first minutes of an incident.
func service() dashboard {
	return dashboard{
		name: "service", title: "User service / Service", about: "Symptoms that users notice, and the state of each part of the service.",
		refresh: "30s", from: "now-1h",
		rows: []row{
			{"Overview", glance()},
			{"Requests", requests()},
			{"Accounts", accounts()},
			{"Password hashing", passwords()},
			{"PostgreSQL", database()},
			{"Events and RabbitMQ", events()},
			{"Mails", mails()},
			{"Process", process()},
		},
	}
}

const goodShare = `100 - 100 * (sum(rate(http_server_request_duration_seconds_count{@,` + probes +
	`,http_response_status_code=~"5.."}[5m])) or vector(0)) / sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`

// loginShare returns the percentage of logins with some results.
func loginShare(results string) string {
	return `100 * sum(rate(user_service_logins_total{@,result=~"` + results + `"}[10m])) / sum(rate(user_service_logins_total{@,result!="second-factor-required"}[10m]))`
}

// firing returns the firing alerts, or a series with the name none.
const firing = `max by (alertname, severity) (ALERTS{` + release + `,alertstate="firing"}) ` +
	`or on () label_replace(vector(0), "alertname", "none", "", "")`

func glance() []panel { return append(glanceAtRequests(), glanceAtResources()...) }

func glanceAtRequests() []panel {
	return []panel{
		{
			title: "Firing alerts", stat: true, names: true, wide: 12, unit: "short",
			about: "Alerts that fire now, for any pod. Each alert links to its runbook.",
			limit: limit{value: 1}, queries: []query{{firing, "{{alertname}} {{severity}}"}},
		},
		{
			title: "Requests", stat: true, unit: "reqps", about: "Requests per second, without probes.",
			queries: []query{{`sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`, ""}},
		},
		{
			title: "Availability", stat: true, unit: "percent", decimals: 2,
			about: "Share of requests without a server error. Red: below the 30-day objective.",
			alert: "UserServiceErrorBudgetBurn", limit: limit{name: "availabilityPercent", value: 99.9, below: true},
			queries: []query{{goodShare, ""}},
		},
		{
			title: "Requests in time", stat: true, unit: "percent", decimals: 2,
			about: "Share of requests answered in time, by all pods. Red: below the 30-day objective. " +
				"Uses recording rules, so it requires prometheusRule.enabled.",
			alert: "UserServiceLatencyBudgetBurn", limit: limit{name: "latencyPercent", value: 99, below: true},
			queries: []query{{`100 * (1 - job:http_server_requests_slow:rate5m` + chosen + ` / job:http_server_requests:rate5m` + chosen + `)`, ""}},
		},
		{
			title: "Logins not served", stat: true, unit: "percent", decimals: 1,
			about: "Share of logins that the service could not serve, because it was overloaded or the database was unavailable.",
			alert: "UserServiceLoginsFail", limit: limit{name: "loginsFailedPercent", value: 5},
			queries: []query{{loginShare("overloaded|unavailable|_OTHER"), ""}},
		},
		{
			title: "Logins rejected", stat: true, unit: "percent", decimals: 1,
			about: "Share of logins with a wrong password or during a backoff. A value far above normal means password guessing.",
			alert: "UserServicePasswordGuessing", limit: limit{name: "loginsRejectedPercent", value: 50},
			queries: []query{{loginShare("invalid-credentials|too-many-requests"), ""}},
		},
		{
			title: "Passwords refused", stat: true, unit: "percent", decimals: 1,
			about: "Share of passwords refused with 503: the hashing queue is full, the wait is too long, or no hashing process runs.",
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1},
			queries: []query{{
				`100 * sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`/ (sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`+ sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`,
				"",
			}},
		},
	}
}

func glanceAtResources() []panel {
	return []panel{
		{
			title: "Database connections", stat: true, unit: "percent", decimals: 0,
			about: "Share of database connections in use, on the pod with the fewest free connections.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90},
			queries: []query{{
				`100 * max(sum by (pod) (db_client_connection_count{@,db_client_connection_state="used"}) ` +
					`/ sum by (pod) (db_client_connection_max{@}))`,
				"",
			}},
		},
		{
			title: "Oldest event", stat: true, unit: "s", about: "Age of the oldest event that waits to be published; 0 if no event waits.",
			alert: "UserServiceOutboxStuck", limit: limit{name: "outboxAgeSeconds", value: 60},
			queries: []query{{`max(user_service_outbox_oldest_event_age_seconds{@})`, ""}},
		},
		{
			title: "Pods without RabbitMQ", stat: true, unit: "short",
			about: "Pods without a connection to RabbitMQ. They still serve requests. Their events wait if no other pod publishes them.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1}, queries: []query{{`sum(1 - user_service_rabbitmq_connected{@})`, ""}},
		},
		{
			title: "Ready pods", stat: true, unit: "short",
			about: "Pods whose readiness checks all succeed. Without one, no request reaches the service.",
			alert: "UserServiceNotReady", limit: limit{value: 1, below: true},
			queries: []query{{`sum(min by (pod) (user_service_ready{@})) or vector(0)`, "ready"}},
		},
		{
			title: "Alerts over time", wide: 24, high: 6, unit: "short", decimals: 0, stacked: true,
			about:   "Alerts that fired, stacked. All panels mark these times.",
			queries: []query{{firing, "{{alertname}} {{severity}}"}},
		},
	}
}

func requests() []panel {
	return []panel{
		{
			title: "Requests by route", unit: "reqps", stacked: true,
			about:   "Requests per second by route pattern. unmatched: paths that do not exist.",
			queries: []query{rateBy("http_server_request_duration_seconds_count", "http_route")},
		},
		{
			title: "Responses by status", unit: "reqps", stacked: true,
			about:   "Responses per second by status. 5xx: server errors. 429: rate limits and backoff. 401 on /login: wrong passwords.",
			colors:  []color{{"2..", "green"}, {"3..", "blue"}, {"4..", "yellow"}, {"5..", "red"}},
			queries: []query{rateBy("http_server_request_duration_seconds_count", "http_response_status_code")},
		},
		{
			title: "Requests in flight", unit: "short", stacked: true,
			about:   "Requests in progress. A growing number means that a dependency is slow.",
			queries: []query{{`sum by (pod) (http_server_active_requests{@})`, "{{pod}}"}},
		},
		{
			title: "Time to answer", unit: "s", about: "Response time of requests that do not hash a password. The line is the objective.",
			alert: "UserServiceLatencyBudgetBurn", limit: latency, colors: tails,
			queries: quantiles("http_server_request_duration_seconds", `@,`+probes+`,http_route!~"`+hashing+`"`), traces: true,
		},
		{
			title: "Time to answer with a password", unit: "s",
			about: "Response time of requests that hash a password. Hashing is slow by design and has a queue. The line is the objective.",
			alert: "UserServiceLatencyBudgetBurn", limit: passwordLatency, colors: tails,
			queries: quantiles("http_server_request_duration_seconds", `@,http_route=~"`+hashing+`"`), traces: true,
		},
		{
			title: "Refused by limits", unit: "reqps",
			about: "Requests refused by a limit, by its name. address and network: anonymous requests. session: refreshes. " +
				"account: changes. login: backoff after wrong passwords. queue: waiting requests. bodies: total size of request bodies.",
			queries: []query{rateBy("user_service_rate_limited_total", "policy")},
		},
		{
			title: "Bodies in transit", unit: "bytes",
			about: "Bytes of request bodies that each pod is receiving, without the first 4 KiB of each body. " +
				"At 8 MiB, further large bodies get 503.",
			queries: []query{{`sum by (pod) (user_service_request_body_bytes{@})`, "{{pod}}"}},
		},
	}
}

// results are the colors of the results of logins and refreshes. Red means a fault of the service.
var results = []color{
	{"success", "green"},
	{"invalid-.*", "yellow"},
	{"too-many-requests", "orange"},
	{"validation-failed", "blue"},
	{"overloaded|unavailable|_OTHER", "red"},
}

func accounts() []panel {
	return []panel{
		{
			title: "Logins by result", unit: "reqps", stacked: true,
			about: "Logins per second by result. overloaded and unavailable: faults of the service. " +
				"too-many-requests: backoff after wrong passwords or codes. second-factor-required: the correct password, and a code is needed.",
			colors: results, queries: []query{rateBy("user_service_logins_total", "result")},
		},
		{
			title: "Logins by authentication methods", unit: "reqps", stacked: true,
			about: "Successful logins per second by authentication methods (RFC 8176). pwd: a password alone. pwd+otp+mfa: with a " +
				"code of an authenticator app, or a recovery code.",
			queries: []query{rateBy("user_service_login_methods_total", "amr")},
		},
		{
			title: "Second factors", unit: "short",
			about: "Within 5 minutes: second factors that were confirmed, and that were removed by their user or by another caller.",
			queries: []query{
				{`sum by (type) (increase(user_service_factors_added_total{@}[5m]))`, "{{type}} added"},
				{`sum by (by) (increase(user_service_factors_removed_total{@}[5m]))`, "removed by {{by}}"},
			},
		},
		{
			title: "Refreshes by result", unit: "reqps", stacked: true,
			about: "Refreshes per second by result. Many invalid tokens: sessions ended, the old secret is no longer accepted, or " +
				"tokens were stolen.",
			colors:  results,
			queries: []query{rateBy("user_service_refreshes_total", "result")},
		},
		{
			title: "Signs of an attack", unit: "short",
			about: "Within 5 minutes: backoffs that began after wrong passwords, reuses of refresh tokens, which ended their sessions, " +
				"and dropped password resets.",
			queries: []query{
				{`sum(increase(user_service_lockouts_total{@}[5m]))`, "lockouts"},
				{`sum(increase(user_service_refresh_token_reuses_total{@}[5m]))`, "tokens reused"},
				{`sum(increase(user_service_password_resets_dropped_total{@}[5m]))`, "resets dropped"},
			},
		},
	}
}

func passwords() []panel {
	return []panel{
		{
			title: "Running and waiting", unit: "short",
			about:   "Passwords being hashed, and passwords in the queue. The queue is bounded: further requests get 503.",
			queries: []query{{`sum(user_service_password_hash_running{@})`, "running"}, {`sum(user_service_password_hash_queued{@})`, "waiting"}},
		},
		{
			title: "Wait and hash", unit: "s",
			about: "Time of passwords in the queue, and time of one hash. " +
				"A slower hash means that the CPU is throttled, shared, or busy with other requests, which have priority.",
			queries: []query{
				{quantiles("user_service_password_hash_wait_seconds", "@")[1].expr, "wait, p95"},
				{quantiles("user_service_password_hash_duration_seconds", "@")[1].expr, "hash, p95"},
			},
		},
		{
			title: "Refused passwords", unit: "percent",
			about: "Share of passwords refused with 503, by reason: the queue is full, the wait is too long, the hashing process " +
				"ended, or it did not start.",
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1},
			queries: []query{{
				`100 * sum by (reason) (rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`/ on () group_left () (sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`+ sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`,
				"{{reason}}",
			}},
		},
		{
			title: "Breached passwords", unit: "ops", stacked: true,
			about: "New passwords that were looked up at PWNED_PASSWORDS_URL, by result. A breached password is refused. While lookups fail, " +
				"passwords are accepted.",
			queries: []query{rateBy("user_service_pwned_passwords_queries_total", "result")},
		},
		{
			title: "Callers", unit: "reqps", stacked: true,
			about:   "Authorized requests by kind of caller. A workload is another service, with a token of WORKLOAD_ISSUER.",
			queries: []query{rateBy("user_service_authorized_requests_total", "caller")},
		},
		{
			title: "Keys of workloads", unit: "ops", stacked: true,
			about:   "Fetches of the keys of WORKLOAD_ISSUER, by result. While they fail, known keys stay valid for 24 hours.",
			queries: []query{rateBy("user_service_workload_key_fetches_total", "result")},
		},
	}
}

func database() []panel {
	return []panel{
		{
			title: "Query time", unit: "s", about: "95th percentile of the query time by operation. BATCH: several queries in one round trip.",
			queries: []query{{
				`histogram_quantile(0.95, sum by (le, db_operation_name) ` +
					`(rate(db_client_operation_duration_seconds_bucket{@}[$__rate_interval]))) >= 0`,
				"{{db_operation_name}}",
			}},
		},
		{
			title: "Queries", unit: "ops", stacked: true,
			about:   "Queries per second by operation.",
			queries: []query{rateBy("db_client_operation_duration_seconds_count", "db_operation_name")},
		},
		{
			title: "Failed queries", unit: "ops", stacked: true,
			about: "Failed queries per second, by the class of PostgreSQL's error code. 08: connection. " +
				"23: constraint violation, which is normal. 40: conflict. 53: resources. 57: shutdown.",
			queries: []query{{
				`sum by (error_type) (rate(db_client_operation_duration_seconds_count{@,error_type!=""}[$__rate_interval])) ` +
					`or on () label_replace(0 * sum(up{@}), "error_type", "none", "", "")`,
				"{{error_type}}",
			}},
		},
		{
			title: "Connections in use", unit: "percent", max: 100,
			about: "Share of each pod's connections in use. At 100 %, requests wait, and get 503 after 1.8 s.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90},
			queries: []query{{
				`100 * sum by (pod) (db_client_connection_count{@,db_client_connection_state="used"}) ` +
					`/ sum by (pod) (db_client_connection_max{@})`,
				"{{pod}}",
			}},
		},
		{
			title: "Wait for a connection", unit: "s", about: "Average time to get a connection from the pool.",
			queries: []query{{
				`sum by (pod) (rate(db_client_connection_wait_time_seconds_sum{@}[$__rate_interval])) ` +
					`/ sum by (pod) (rate(db_client_connection_wait_time_seconds_count{@}[$__rate_interval])) >= 0`,
				"{{pod}}",
			}},
		},
		{
			title: "Connection timeouts", unit: "ops", about: "Failed waits for a connection. The request or the scrape then fails.",
			queries: []query{{`sum by (pod) (rate(db_client_connection_timeouts_total{@}[$__rate_interval]))`, "{{pod}}"}},
		},
	}
}

func events() []panel {
	return []panel{
		{
			title: "Age of the oldest event", unit: "s",
			about: "Age of the oldest waiting event. It grows while RabbitMQ is unavailable, and is 0 when all events are published.",
			alert: "UserServiceOutboxStuck", limit: limit{name: "outboxAgeSeconds", value: 60},
			queries: []query{{`max(user_service_outbox_oldest_event_age_seconds{@})`, "age"}},
		},
		{
			title: "Waiting events", unit: "short",
			about:   "Events in the outbox; at most 100000 are counted.",
			queries: []query{{`max(user_service_outbox_pending_events{@})`, "waiting"}},
		},
		{
			title: "Parked events", unit: "short",
			about: "Events that RabbitMQ has refused 20 times in a row. " +
				"Each blocks the later events of its user, and is retried every 10 minutes.",
			alert: "UserServiceEventsParked", limit: limit{value: 1},
			queries: []query{{`max by (type) (user_service_outbox_parked_events{@})`, "{{type}}"}},
		},
		{
			title: "Connected to RabbitMQ", unit: "short", max: 1,
			about: "1 for each pod with a connection to RabbitMQ. Pods without a connection still serve requests.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1, below: true},
			queries: []query{{`sum by (pod) (user_service_rabbitmq_connected{@})`, "{{pod}}"}},
		},
		{
			title: "Published events", unit: "ops", stacked: true,
			about:   "Events confirmed by RabbitMQ per second, by type.",
			queries: []query{rateBy("user_service_outbox_published_total", "type")},
		},
		{
			title: "Retried, refused and unroutable events", unit: "ops",
			about: "Events per second that are retried after a failure, that RabbitMQ refused, or that are unroutable. " +
				"Unroutable events can mean that a consumer's queue is missing.",
			queries: []query{
				{`sum(rate(user_service_outbox_failed_total{@}[$__rate_interval]))`, "retried"},
				{`sum(rate(user_service_rabbitmq_nacked_total{@}[$__rate_interval]))`, "refused"},
				{`sum(rate(user_service_events_unroutable_total{@}[$__rate_interval]))`, "unroutable"},
			},
		},
		{
			title: "Time to publish", unit: "s", about: "Time from the change to RabbitMQ's confirm, and the confirm's part of this time.",
			queries: []query{
				{quantiles("user_service_outbox_delivery_seconds", "@")[0].expr, "from the change, p50"},
				{quantiles("user_service_outbox_delivery_seconds", "@")[2].expr, "from the change, p99"},
				{quantiles("user_service_rabbitmq_confirm_duration_seconds", "@")[2].expr, "confirm, p99"},
			},
		},
	}
}

// ofMailer are the labels of the mailer's pods, which the dashboard's variable pod does not include.
const ofMailer = `namespace="$namespace",job="$job-mailer"`

// mailResults are the colors of the results of events. Red means that nobody gets the mail.
var mailResults = []color{
	{"sent", "green"},
	{"duplicate|expired|outdated|unneeded|unverified|limited", "blue"},
	{"retried", "orange"},
	{"parked", "red"},
}

// mails returns the panels of the mailer, which have no data without a mailer.
func mails() []panel {
	return []panel{
		{
			title: "Mailer", unit: "short", max: 1,
			about: "1 while the mail server accepts mails, and while a mailer is connected to RabbitMQ. Without a mailer, there is no data.",
			alert: "UserServiceMailsNotSent", limit: limit{value: 1, below: true},
			queries: []query{
				{`max(user_service_mailer_smtp_available{` + ofMailer + `})`, "mail server"},
				{`max(user_service_mailer_rabbitmq_connected{` + ofMailer + `})`, "RabbitMQ"},
			},
		},
		{
			title: "Mails by result", unit: "ops", stacked: true,
			about: "Events that the mailer handles per second, by result. retried: each attempt that is repeated later. " +
				"duplicate, expired, outdated, unneeded, unverified and limited: no mail is sent, as intended.",
			colors: mailResults,
			queries: []query{
				{`sum by (result) (rate(user_service_mailer_events_total{` + ofMailer + `}[$__rate_interval]))`, "{{result}}"},
			},
		},
		{
			title: "Mails that wait", unit: "short",
			about: "Events in the queue of the mailer, and events that wait for another attempt.",
			queries: []query{
				{`max by (state) (user_service_mailer_queue_messages{` + ofMailer + `,state!="parked"})`, "{{state}}"},
			},
		},
		{
			title: "Parked mails", unit: "short",
			about: "Events whose mails the mail server refused, or did not accept for a day. An operator must look at them.",
			alert: "UserServiceMailsParked", limit: limit{name: "parkedMails", value: 10},
			queries: []query{{`max(user_service_mailer_queue_messages{` + ofMailer + `,state="parked"})`, "parked"}},
		},
		{
			title: "Time to send", unit: "s", about: "Time of an attempt to send a mail, successful or not.", colors: tails,
			queries: quantiles("user_service_mailer_send_duration_seconds", ofMailer),
		},
		{
			title: "Pods of the mailer", unit: "short", about: "Running pods of the mailer by version.",
			queries: []query{{`sum by (version) (user_service_mailer_build_info{` + ofMailer + `})`, "{{version}}"}},
		},
		{
			title: "Rejected secrets of the mailer", unit: "short",
			about:   "Variables of the mailer whose new value from a file is rejected, by pod. The old value stays in use.",
			queries: []query{{`max by (pod) (user_service_mailer_secrets_reload_failed{` + ofMailer + `})`, "{{pod}}"}},
		},
	}
}

func process() []panel {
	return []panel{
		{
			title: "CPU", unit: "short",
			about: "CPU usage of each pod's main process and of its hashing process, which has a lower priority.",
			queries: []query{
				{`sum by (pod) (rate(process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}}"},
				{`sum by (pod) (rate(user_service_hashing_process_cpu_seconds_total{@}[$__rate_interval]))`, "{{pod}} hashes"},
			},
		},
		{
			title: "Memory", unit: "bytes",
			about: "Memory of each pod's main process and of its hashing process. " +
				"The pod is killed if both together exceed its memory limit. " +
				"The number of concurrent hashes bounds the hashing process.",
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
