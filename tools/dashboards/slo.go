package main

// slo returns the dashboard for the weekly review and for burn rate alerts. It uses the recording rules of the chart, so it
// requires prometheusRule.enabled.
func slo() dashboard {
	return dashboard{
		name: "slo", title: "User service / SLO", about: "Objectives and error budgets, from the recording rules that the alerts use.",
		refresh: "1m", from: "now-6h",
		rows: []row{
			{
				"Availability: requests without a server error",
				objective(
					"availability", "error", "failed", "UserServiceErrorBudgetBurn", limit{name: "availabilityPercent", value: 99.9, below: true},
				),
			},
			{
				"Latency: requests answered in time",
				objective("latency", "latency", "slow", "UserServiceLatencyBudgetBurn", limit{name: "latencyPercent", value: 99, below: true}),
			},
			{"Errors and latency by route", culprits()},
		},
	}
}

const chosen = "{" + release + "}"

func objective(what, budget, bad, alert string, at limit) []panel {
	badRatio := func(window string) string {
		return "job:http_server_requests_" + bad + ":rate" + window + chosen + " / job:http_server_requests:rate" + window + chosen
	}
	share := func(window string) query {
		return query{"100 * (1 - " + badRatio(window) + ")", window}
	}
	burn := func(window string) query {
		return query{badRatio(window) + " / on (namespace, job) group_left () job:http_server_" + budget + "_budget:ratio" + chosen, window}
	}
	return []panel{
		{
			title: "Last hour, " + what, stat: true, wide: 6, unit: "percent", decimals: 2,
			about: "Share of good requests in the last hour. Red: below the 30-day objective.",
			alert: alert, limit: at,
			queries: []query{share("1h")},
		},
		{
			title: "Budget left, " + what, stat: true, wide: 6, unit: "percent", decimals: 1,
			about: "Share of the 30-day budget of bad requests that is left. Below 0, the objective is missed. " +
				"With less than 30 days of data, only the available data counts.",
			alert: alert, limit: limit{below: true}, queries: []query{{"100 * job:http_server_" + budget + "_budget_left:ratio30d" + chosen, ""}},
		},
		{
			title: "Bad requests in a day, " + what, stat: true, wide: 6, unit: "short", decimals: 0, about: "Number of bad requests within a day.",
			queries: []query{{"86400 * job:http_server_requests_" + bad + ":rate1d" + chosen, ""}},
		},
		{
			title: "Requests in a day, " + what, stat: true, wide: 6, unit: "short", decimals: 0,
			about:   "Number of requests within a day, without probes.",
			queries: []query{{"86400 * job:http_server_requests:rate1d" + chosen, ""}},
		},
		{
			title: "Good requests, " + what, wide: 12, unit: "percent", max: 100,
			about: "Share of good requests over windows of different lengths. The line is the 30-day objective. " +
				"A fault shows first in the short window.",
			alert: alert, limit: at, queries: []query{share("5m"), share("1h"), share("6h"), share("1d")},
		},
		{
			title: "Burn rate, " + what, wide: 12, unit: "short",
			about: "Use of the budget, as a multiple of the allowed rate. " +
				"An alert fires if two windows exceed its line: 14.4 for 1h and 5m, 6 for 6h and 30m, 3 for 1d and 2h, " +
				"1 for 3d and 6h.",
			alert: alert, lines: []line{{1, "yellow"}, {3, "orange"}, {6, "red"}, {14.4, "red"}},
			queries: []query{burn("5m"), burn("30m"), burn("1h"), burn("2h"), burn("6h"), burn("1d"), burn("3d")},
		},
	}
}

func culprits() []panel {
	return []panel{
		{
			title: "Server errors by route", wide: 12, unit: "reqps", stacked: true,
			about: "5xx per second by route and status. 503: overload or an unavailable database. 500: a bug in the service.",
			queries: []query{{
				`sum by (http_route, http_response_status_code) (rate(http_server_request_duration_seconds_count{@,` + probes +
					`,http_response_status_code=~"5.."}[$__rate_interval])) ` +
					`or on () label_replace(0 * sum(up{@}), "http_route", "none", "", "")`,
				"{{http_route}} {{http_response_status_code}}",
			}},
		},
		{
			title: "Slowest routes", wide: 12, unit: "s", about: "95th percentile of the response time by route.",
			queries: []query{{
				`histogram_quantile(0.95, sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket{@,` + probes +
					`}[$__rate_interval]))) >= 0`,
				"{{http_route}}",
			}},
		},
	}
}
