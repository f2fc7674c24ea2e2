package main

// slo is for the weekly look, and for who was woken by a burn rate. It is made of the recording
// rules of the chart, so it needs prometheusRule.enabled.
func slo() dashboard {
	return dashboard{
		name: "slo", title: "User service / SLO", about: "How much of what was promised is left. Made of the recording rules that the alerts use.",
		refresh: "1m", from: "now-6h",
		rows: []row{
			{"Availability: requests without a server error", objective("availability", "failed", "UserServiceErrorBudgetBurn", limit{"availabilityPercent", 99.9, true})},
			{"Latency: requests answered in time", objective("latency", "slow", "UserServiceLatencyBudgetBurn", limit{"latencyPercent", 99, true})},
			{"Where it comes from", culprits()},
		},
	}
}

const chosen = `{namespace="$namespace",job="$job"}`

func objective(what, bad, alert string, at limit) []panel {
	share := func(window string) query {
		return query{"100 * (1 - job:http_server_requests_" + bad + ":rate" + window + chosen + " / job:http_server_requests:rate" + window + chosen + ")", window}
	}
	rate := func(window string) query {
		return query{"100 * job:http_server_requests_" + bad + ":rate" + window + chosen + " / job:http_server_requests:rate" + window + chosen, window}
	}
	return []panel{
		{title: "Now, " + what, stat: true, wide: 6, unit: "percent", about: "Share of good requests over the last hour. Red is below the objective of 30 days.", alert: alert, limit: at, queries: []query{share("1h")}},
		{title: "Three days, " + what, stat: true, wide: 6, unit: "percent", about: "Share of good requests over three days. Red is below the objective of 30 days.", alert: alert, limit: at, queries: []query{share("3d")}},
		{
			title: "Bad requests in a day, " + what, stat: true, wide: 6, unit: "short", about: "How many requests were bad within a day.",
			queries: []query{{"86400 * job:http_server_requests_" + bad + ":rate1d" + chosen, ""}},
		},
		{
			title: "Requests in a day, " + what, stat: true, wide: 6, unit: "short", about: "How many requests there were within a day, without those of probes.",
			queries: []query{{"86400 * job:http_server_requests:rate1d" + chosen, ""}},
		},
		{
			title: "Good requests, " + what, wide: 12, unit: "percent", max: 100, about: "Share of good requests over windows of different length. The line is the objective of 30 days; a fault shows in the short window first.",
			alert: alert, limit: at, queries: []query{share("5m"), share("1h"), share("6h"), share("1d")},
		},
		{
			title: "Bad requests, " + what, wide: 12, unit: "percent", about: "Share of bad requests over the windows that the alerts look at: an alert needs a long and a short window above its burn rate.",
			queries: []query{rate("5m"), rate("30m"), rate("1h"), rate("2h"), rate("6h"), rate("1d"), rate("3d")},
		},
	}
}

func culprits() []panel {
	return []panel{
		{
			title: "Server errors by route", wide: 12, unit: "reqps", stacked: true, about: "5xx a second by route and status: 503 is overload or a database that is away, 500 a fault of the service.",
			queries: []query{{`sum by (http_route, http_response_status_code) (rate(http_server_request_duration_seconds_count{@,` + probes + `,http_response_status_code=~"5.."}[$__rate_interval])) or 0 * sum by (http_route) (rate(http_server_request_duration_seconds_count{@,http_route="/login"}[$__rate_interval]))`, "{{http_route}} {{http_response_status_code}}"}},
		},
		{
			title: "Slowest routes", wide: 12, unit: "s", about: "Time of 95 % of the requests by route.",
			queries: []query{{`histogram_quantile(0.95, sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket{@,` + probes + `}[$__rate_interval])))`, "{{http_route}}"}},
		},
	}
}
