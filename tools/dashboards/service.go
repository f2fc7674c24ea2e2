package main

// hashing are the routes that hash a password; they have a separate latency objective. probes excludes the probes' routes.
const (
	hashing = `/login|/register|/users/{id}/password|/password-reset/confirm`
	probes  = `http_route!~"/healthz|/readyz"`
)

// service returns the dashboard for the first minutes of an incident.
func service() dashboard {
	return dashboard{
		name: "service", title: "User service / Service", about: "Symptoms that users notice, and the state of each part of the service.",
		refresh: "30s", from: "now-1h",
		rows: []row{
			{"Overview", overview(), false},
			{"State", state(), false},
			{"Requests", requests(), false},
			{"Accounts", accounts(), false},
			{"Password hashing", passwords(), false},
			{"PostgreSQL", database(), false},
			{"Events and RabbitMQ", events(), false},
			{"Mails", mails(), false},
			{"Process", process(), false},
			{"Containers (kube-state-metrics and kubelet)", containerPanels(), true},
		},
	}
}

// goodShare is the percentage of requests without a server error.
const goodShare = `100 - 100 * (sum(rate(http_server_request_duration_seconds_count{@,` + probes +
	`,http_response_status_code=~"5.."}[5m])) or vector(0)) / sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`

const (
	// allLogins are the logins per second by cluster. unservedLogins selects the logins that the service did not serve; a function is added
	// before it.
	allLogins      = `sum by (cluster) (rate(user_service_logins_total{` + release + `,result!="second-factor-required"}[10m]))`
	unservedLogins = `(user_service_logins_total{` + release + `,result=~"overloaded|unavailable|_OTHER"}[10m])`

	// refusedShare is the percentage of passwords that are not hashed.
	refusedShare = `100 * sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
		`/ (sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
		`+ sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`

	// rejectedShare is the percentage of logins with a wrong password, or during a backoff.
	rejectedShare = `100 * sum(rate(user_service_logins_total{@,result=~"invalid-credentials|too-many-requests"}[10m])) ` +
		`/ sum(rate(user_service_logins_total{@,result!="second-factor-required"}[10m]))`

	// connectionShare is the percentage of connections in use, on the pod with the fewest free connections.
	connectionShare = `100 * max(sum by (pod) (db_client_connection_count{@,db_client_connection_state="used"}) ` +
		`/ sum by (pod) (db_client_connection_max{@}))`

	// limitedShare is the percentage of requests that a limit refuses.
	limitedShare = `100 * sum(rate(user_service_rate_limited_total{@}[10m])) ` +
		`/ sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[10m]))`
)

// firing is the number of seconds since the condition of each firing alert began. If no alert fires, it is 0 with the name none.
var firing = `time() - min by (alertname, severity) (` + alerts("ALERTS_FOR_STATE", "") +
	` and ignoring (alertstate) ` + alerts("ALERTS", `,alertstate="firing"`) + `) ` + none

// none adds a series with the name none if there is no other series.
const none = `or on () label_replace(vector(0), "alertname", "none", "", "")`

// overview returns the panels of the first screen. They show whether users notice a fault, since when, on which routes, and its likely
// causes.
func overview() []panel { return append(impact(), causes()...) }

func impact() []panel {
	return []panel{
		{
			title: "Firing alerts", kind: names, wide: 9, unit: "s", decimals: 0, colors: severities,
			about:   "Alerts that fire now, for any pod, and the time since their condition began. Each alert links to its runbook.",
			queries: []query{{firing, "{{alertname}} {{severity}}"}},
		},
		{
			title: "Error budget burn", kind: tile, wide: 3, unit: "percent", decimals: 0,
			about: "Failed requests, as a share of the rate at which the critical alert fires. Red: its condition holds.",
			alert: "UserServiceErrorBudgetBurn", limit: limit{value: 100},
			queries: []query{{criticalBurn("failed", "error"), ""}},
		},
		{
			title: "Latency budget burn", kind: tile, wide: 3, unit: "percent", decimals: 0,
			about: "Slow requests, as a share of the rate at which the critical alert fires. Red: its condition holds.",
			alert: "UserServiceLatencyBudgetBurn", limit: limit{value: 100},
			queries: []query{{criticalBurn("slow", "latency"), ""}},
		},
		{
			title: "Ready pods", kind: tile, wide: 3, unit: "percent", decimals: 0, limit: limit{below: true},
			about: "Share of the pods whose readiness checks all succeed. Without one, no request reaches the service. Orange: some are " +
				"not ready.",
			alert: "UserServiceNotReady", lines: []line{{0.01, warning}, {100, "green"}},
			queries: []query{{`100 * (sum(min by (pod) (user_service_ready{` + release + `})) or vector(0)) ` +
				`/ count(count by (pod) (up{` + release + `})) or vector(0)`, ""}},
		},
		{
			title: "Logins not served", kind: tile, wide: 3, unit: "percent", decimals: 1,
			about: "Share of logins that the service could not serve, because it was overloaded or the database was unavailable. " +
				"0 if there are fewer than the alert's minimum.",
			alert: "UserServiceLoginsFail", limit: limit{name: "loginsFailedPercent", value: 5},
			queries: []query{{
				`max(100 * sum by (cluster) (rate` + unservedLogins + `) / ` + allLogins +
					` * (sum by (cluster) (increase` + unservedLogins + `) >= bool ` + placeholder("minLoginsFailed") + `))`, "",
			}},
		},
		{
			title: "Oldest event", kind: tile, wide: 3, unit: "s", decimals: 0,
			about: "Age of the oldest event that waits to be published; 0 if no event waits.",
			alert: "UserServiceOutboxStuck", limit: limit{name: "outboxAgeSeconds", value: 60},
			queries: []query{{`max(user_service_outbox_oldest_event_age_seconds{` + release + `})`, ""}},
		},
	}
}

func causes() []panel {
	return []panel{
		{
			title: "Alerts over time", wide: 6, high: 11, unit: "short", decimals: 0, stacked: true, colors: severities,
			about: "Alerts that fired, stacked. All panels mark the times of critical alerts.",
			queries: []query{{
				`max by (alertname, severity) (` + alerts("ALERTS", `,alertstate="firing"`) + `) ` + none,
				"{{alertname}} {{severity}}",
			}},
		},
		failuresByRoute(6, 11),
		slowestRoutes(6, 11),
		{
			title: "Likely causes", wide: 6, high: 11, unit: "percent", max: 100, decimals: 0,
			about: "Parts of the service that fail or are at their limit, each from 0 to 100 %. The highest curve is the likely cause. " +
				"not ready: pods by failed check. slow queries: slower than 0.1 s. parked: of the waiting events.",
			queries: likelyCauses, colors: []color{
				{names: "not ready.*", color: "purple"},
				{names: "unreachable pods", color: "dark-purple"},
				{names: "slow queries", color: "blue"},
				{names: "used connections", color: "dark-blue"},
				{names: "busy hashing slots", color: "yellow"},
				{names: "refused passwords", color: "dark-yellow"},
				{names: "pods without RabbitMQ", color: "green"},
				{names: "parked events|tokens without a queue", color: "dark-green"},
				{names: "wrong passwords|requests over a limit", color: "text"},
			},
		},
	}
}

// withTokens selects the events whose tokens must be mailed.
const withTokens = `type=~"user.(password_reset|email_verification|invitation)_requested"`

// likelyCauses are shares of what fails or is at its limit. Averages hide single requests.
var likelyCauses = []query{
	{`100 * avg by (check) (1 - user_service_ready{@})`, "not ready: {{check}}"},
	{`100 * avg(1 - up{@})`, "unreachable pods"},
	{`100 * avg(1 - user_service_rabbitmq_connected{@})`, "pods without RabbitMQ"},
	{`100 * (1 - sum(rate(db_client_operation_duration_seconds_bucket{@,le="0.1"}[$__rate_interval])) ` +
		`/ sum(rate(db_client_operation_duration_seconds_count{@}[$__rate_interval]))) >= 0`, "slow queries"},
	{`100 * max(sum by (pod) (avg_over_time(db_client_connection_count{@,db_client_connection_state="used"}[$__rate_interval])) ` +
		`/ sum by (pod) (db_client_connection_max{@}))`, "used connections"},
	{
		`100 * max(avg_over_time(user_service_password_hash_running{@}[$__rate_interval]) / user_service_password_hash_limit{@})`,
		"busy hashing slots",
	},
	{refusedShare + ` >= 0`, "refused passwords"},
	{rejectedShare + ` >= 0`, "wrong passwords"},
	{limitedShare + ` >= 0`, "requests over a limit"},
	{
		`100 * sum(max by (type) (user_service_outbox_parked_events{@})) / clamp_min(max(user_service_outbox_pending_events{@}), 1)`,
		"parked events",
	},
	{
		`100 * max(sum by (type) (rate(user_service_events_unroutable_total{@,` + withTokens + `}[$__rate_interval])) ` +
			`/ sum by (type) (rate(user_service_outbox_published_total{@,` + withTokens + `}[$__rate_interval]))) >= 0`,
		"tokens without a queue",
	},
}

// state returns a tile for each part of the service.
func state() []panel {
	return []panel{
		{
			title: "Requests", kind: tile, wide: 3, unit: "reqps", about: "Requests per second, without probes.",
			queries: []query{{`sum(rate(http_server_request_duration_seconds_count{@,` + probes + `}[5m]))`, ""}},
		},
		{
			title: "Availability", kind: tile, wide: 3, unit: "percent", decimals: 2,
			about: "Share of requests without a server error, within 5 minutes.", queries: []query{{goodShare, ""}},
		},
		{
			title: "Requests in time", kind: tile, wide: 3, unit: "percent", decimals: 2,
			about: "Share of requests answered in time within 5 minutes, by all pods. " +
				"Uses recording rules, so it requires prometheusRule.enabled.",
			queries: []query{{
				`100 * (1 - sum(job:http_server_requests_slow:rate5m` + chosen +
					`) / sum(job:http_server_requests:rate5m` + chosen + `))`, "",
			}},
		},
		{
			title: "Logins rejected", kind: tile, wide: 3, unit: "percent", decimals: 1,
			about: "Share of logins with a wrong password or during a backoff. A value far above normal means password guessing.",
			alert: "UserServicePasswordGuessing", limit: limit{name: "loginsRejectedPercent", value: 50, warning: true},
			queries: []query{{rejectedShare, ""}},
		},
		{
			title: "Passwords refused", kind: tile, wide: 3, unit: "percent", decimals: 1,
			about: "Share of passwords refused with 503: the hashing queue is full, the wait is too long, or no hashing process runs.",
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1, warning: true},
			queries: []query{{refusedShare, ""}},
		},
		{
			title: "Requests limited", kind: tile, wide: 3, unit: "percent", decimals: 1, about: "Share of requests that a limit refuses.",
			alert: "UserServiceRequestsRateLimited", limit: limit{name: "rateLimitedPercent", value: 20, warning: true},
			queries: []query{{limitedShare, ""}},
		},
		{
			title: "Connections used", kind: tile, wide: 3, unit: "percent", decimals: 0,
			about: "Share of database connections in use, on the pod with the fewest free connections.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90, warning: true},
			queries: []query{{connectionShare, ""}},
		},
		{
			title: "Pods without RabbitMQ", kind: tile, wide: 3, unit: "short",
			about: "Pods without a connection to RabbitMQ. They still serve requests. Their events wait if no other pod publishes them.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1, warning: true},
			queries: []query{{`sum(1 - user_service_rabbitmq_connected{@})`, ""}},
		},
	}
}
