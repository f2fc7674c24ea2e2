package main

// fast and slow are the labels of the requests with each of the two latency objectives.
const (
	fast = `@,` + probes + `,http_route!~"` + hashing + `"`
	slow = `@,http_route=~"` + hashing + `"`
)

// The objectives are not the thresholds of an alert: a few slow requests are allowed.
var (
	latency         = limit{name: "latencySeconds", value: 0.25, warning: true}
	passwordLatency = limit{name: "passwordLatencySeconds", value: 1, warning: true}
)

func requests() []panel {
	return []panel{
		{
			title: "Requests by route", unit: "reqps", stacked: true,
			about:  "Requests per second by route pattern. unmatched: paths that do not exist.",
			colors: routes, links: byRoute,
			queries: []query{rateBy("http_server_request_duration_seconds_count", "http_route")},
		},
		{
			title: "Responses by status", unit: "reqps", stacked: true,
			about:  "Responses per second by status. 5xx: server errors. 429: rate limits and backoff. 401 on /login: wrong passwords.",
			colors: statuses, links: byStatus,
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
			queries: quantiles("http_server_request_duration_seconds", fast),
		},
		{
			title: "Distribution of the time to answer", kind: heatmap, unit: "reqps", wide: 16,
			about: "Requests per second by response time, without those that hash a password. The darker, the more requests. " +
				"A point is a request with a trace.",
			alert: "UserServiceLatencyBudgetBurn", queries: []query{{bucketRates("http_server_request_duration_seconds", fast), "{{le}}"}},
		},
		{
			title: "Time to answer with a password", unit: "s",
			about: "Response time of requests that hash a password. Hashing is slow by design and has a queue. The line is the objective.",
			alert: "UserServiceLatencyBudgetBurn", limit: passwordLatency, colors: tails,
			queries: quantiles("http_server_request_duration_seconds", slow),
		},
		{
			title: "Distribution of the time to answer with a password", kind: heatmap, unit: "reqps", wide: 16,
			about: "Requests per second that hash a password, by response time. The darker, the more requests. " +
				"A point is a request with a trace.",
			alert: "UserServiceLatencyBudgetBurn", queries: []query{{bucketRates("http_server_request_duration_seconds", slow), "{{le}}"}},
		},
		{
			title: "Refused by limits", unit: "reqps", alert: "UserServiceRequestsRateLimited",
			about: "Requests refused by a limit, by its name. address and network: anonymous requests. session: refreshes. " +
				"account: changes. login: backoff after wrong passwords. queue: waiting requests. bodies: total size of request bodies.",
			colors: []color{
				{names: "address|network", color: "blue"},
				{names: "session|account|login", color: "purple"},
				{names: "queue|bodies", color: "yellow"},
			},
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

// failuresByRoute returns a panel of the dashboards Service and SLO.
func failuresByRoute(wide, high int) panel {
	return panel{
		title: "Server errors by route", wide: wide, high: high, unit: "reqps", stacked: true,
		colors: routes, links: byRoute,
		about: "5xx per second by route and status. 503: overload or an unavailable database. 500: a bug in the service.",
		queries: []query{{
			`sum by (http_route, http_response_status_code) (rate(http_server_request_duration_seconds_count{@,` + probes +
				`,http_response_status_code=~"5.."}[$__rate_interval])) ` +
				`or on () label_replace(0 * sum(up{@}), "http_route", "none", "", "")`,
			"{{http_route}} {{http_response_status_code}}",
		}},
	}
}

// slowestRoutes returns a panel of the dashboards Service and SLO.
func slowestRoutes(wide, high int) panel {
	return panel{
		title: "Slowest routes", wide: wide, high: high, unit: "s", colors: routes, links: byRoute,
		about: "95th percentile of the response time by route.",
		queries: []query{{
			`histogram_quantile(0.95, sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket{@,` + probes +
				`}[$__rate_interval]))) >= 0`,
			"{{http_route}}",
		}},
	}
}
