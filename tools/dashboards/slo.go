package main

import "fmt"

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
					"availability", "error", "failed", "UserServiceErrorBudgetBurn",
					limit{name: "availabilityPercent", value: 99.9, below: true, warning: true},
				),
				false,
			},
			{
				"Latency: requests answered in time",
				objective(
					"latency", "latency", "slow", "UserServiceLatencyBudgetBurn",
					limit{name: "latencyPercent", value: 99, below: true, warning: true},
				),
				false,
			},
			{"Errors and latency by route", []panel{failuresByRoute(12, 8), slowestRoutes(12, 8)}, false},
		},
	}
}

const chosen = "{" + release + "}"

// badRatio returns the share of bad requests in a window.
func badRatio(bad, window string) string {
	return "job:http_server_requests_" + bad + ":rate" + window + chosen + " / job:http_server_requests:rate" + window + chosen
}

// burn returns the rate at which a budget is used, as a multiple of the allowed rate. The series of the budget has no
// cluster label, so the division matches by namespace and job only.
func burn(bad, budget, window string) string {
	return badRatio(bad, window) + " / on (namespace, job) group_left () max by (namespace, job) (job:http_server_" + budget +
		`_budget:ratio{namespace="$namespace",job="$job"})`
}

// criticalBurn returns a percentage that exceeds 100 exactly if the condition of a critical alert holds. The condition holds if both
// windows of a pair exceed its rate, with the minimum of bad requests. The rules of the chart have the same factors.
func criticalBurn(bad, budget string) string {
	pair := func(long, short string, factor float64, seconds int) string {
		rate := func(window string) string { return fmt.Sprintf("%s / %v", burn(bad, budget, window), factor) }
		count := fmt.Sprintf("job:http_server_requests_%s:rate%s%s * %d / %s", bad, long, chosen, seconds, placeholder("minBadRequests"))
		return minOf(count, minOf(rate(long), rate(short)))
	}
	return "100 * max(" + maxOf(pair("1h", "5m", 14.4, 3600), pair("6h", "30m", 6, 21600)) + ")"
}

// minOf and maxOf return the smaller and the larger of two queries with the same labels. If one of them is NaN, the result is b.
func minOf(a, b string) string { return "((" + a + ") < (" + b + ") or (" + b + "))" }
func maxOf(a, b string) string { return "((" + a + ") > (" + b + ") or (" + b + "))" }

func objective(what, budget, bad, alert string, at limit) []panel {
	share := func(window string) query { return query{"100 * (1 - " + badRatio(bad, window) + ")", window} }
	rate := func(window string) query { return query{burn(bad, budget, window), window} }
	return append(numbers(what, budget, bad, alert), panel{
		title: "Good requests, " + what, wide: 12, unit: "percent", max: 100,
		about: "Share of good requests over windows of different lengths. The line is the 30-day objective. " +
			"A fault shows first in the short window.",
		alert: alert, limit: at, queries: []query{share("5m"), share("1h"), share("6h"), share("1d")},
	}, panel{
		title: "Burn rate, " + what, wide: 12, unit: "short",
		about: "Use of the budget, as a multiple of the allowed rate. " +
			"An alert fires if two windows exceed its line: 14.4 for 1h and 5m, 6 for 6h and 30m, 3 for 1d and 2h, " +
			"1 for 3d and 6h. The lines of critical alerts are red.",
		alert: alert, lines: []line{{1, warning}, {3, warning}, {6, critical}, {14.4, critical}},
		queries: []query{rate("5m"), rate("30m"), rate("1h"), rate("2h"), rate("6h"), rate("1d"), rate("3d")},
	})
}

// numbers returns the tiles of an objective.
func numbers(what, budget, bad, alert string) []panel {
	return []panel{
		{
			title: "Burn of the critical rate, " + what, kind: tile, wide: 4, unit: "percent", decimals: 0,
			about: "Bad requests, as a share of the rate at which the critical alert fires. Red: its condition holds.",
			alert: alert, limit: limit{value: 100}, queries: []query{{criticalBurn(bad, budget), ""}},
		},
		{
			title: "Last hour, " + what, kind: tile, wide: 5, unit: "percent", decimals: 2,
			about:   "Share of good requests in the last hour.",
			queries: []query{{"100 * (1 - " + badRatio(bad, "1h") + ")", ""}},
		},
		{
			title: "Budget left, " + what, kind: tile, wide: 5, unit: "percent", decimals: 1,
			about: "Share of the 30-day budget of bad requests that is left. Below 0, the objective is missed. " +
				"With less than 30 days of data, only the available data counts.",
			alert: alert, limit: limit{below: true, warning: true},
			queries: []query{{"100 * job:http_server_" + budget + "_budget_left:ratio30d" + chosen, ""}},
		},
		{
			title: "Bad requests in a day, " + what, kind: tile, wide: 5, unit: "short", decimals: 0,
			about:   "Number of bad requests within a day.",
			queries: []query{{"86400 * job:http_server_requests_" + bad + ":rate1d" + chosen, ""}},
		},
		{
			title: "Requests in a day, " + what, kind: tile, wide: 5, unit: "short", decimals: 0,
			about:   "Number of requests within a day, without probes.",
			queries: []query{{"86400 * job:http_server_requests:rate1d" + chosen, ""}},
		},
	}
}
