package main

func accounts() []panel {
	return []panel{
		{
			title: "Logins by result", unit: "reqps", stacked: true,
			about: "Logins per second by result. overloaded and unavailable: faults of the service. " +
				"too-many-requests: backoff after wrong passwords or codes. second-factor-required: the correct password, and a code is " +
				"needed.",
			alert: "UserServiceLoginsFail", colors: results, queries: []query{rateBy("user_service_logins_total", "result")},
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
			title: "Second factors removed in an hour", unit: "short",
			about: "Second factors that were removed within an hour, by their users or by other callers. Many removals: a stolen session of an " +
				"administrator, or phished users. Removals by commands are not counted.",
			alert: "UserServiceFactorsRemoved", limit: limit{name: "factorRemovalsPerHour", value: 20, warning: true},
			queries: []query{{`sum by (by) (increase(user_service_factors_removed_total{@}[1h]))`, "removed by {{by}}"}},
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
			about: "Passwords being hashed, and passwords in the queue. The dashed line is the maximum number that is hashed " +
				"concurrently. " +
				"The queue is bounded: further requests get 503.",
			queries: []query{
				{`sum(user_service_password_hash_running{@})`, "running"},
				{`sum(user_service_password_hash_queued{@})`, "waiting"},
			},
			caps: []query{{`sum(user_service_password_hash_limit{@})`, "limit of running"}},
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
			alert: "UserServiceHashingSaturated", limit: limit{name: "hashRefusedPercent", value: 1, warning: true},
			queries: []query{{
				`100 * sum by (reason) (rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`/ on () group_left () (sum(rate(user_service_password_hash_refused_total{@}[5m])) ` +
					`+ sum(rate(user_service_password_hash_duration_seconds_count{@}[5m])))`,
				"{{reason}}",
			}},
		},
		{
			title: "Breached passwords", unit: "ops", stacked: true,
			about: "New passwords that were looked up at PWNED_PASSWORDS_URL, by result. A breached password is refused. While lookups " +
				"fail, " +
				"passwords are accepted.",
			colors: []color{
				{names: "not_found", color: "green"}, {names: "found", color: "yellow"}, {names: "failed", color: warning},
			},
			queries: []query{rateBy("user_service_pwned_passwords_queries_total", "result")},
		},
		{
			title: "Callers", unit: "reqps", stacked: true,
			about: "Authorized requests by kind of caller. A workload is another service, with a token of WORKLOAD_ISSUER.",
			colors: []color{
				{names: "anonymous", color: "blue"}, {names: "user", color: "green"}, {names: "workload", color: "purple"},
			},
			queries: []query{rateBy("user_service_authorized_requests_total", "caller")},
		},
		{
			title: "Keys of workloads", unit: "ops", stacked: true,
			about:   "Fetches of the keys of WORKLOAD_ISSUER, by result. While they fail, known keys stay valid for 24 hours.",
			colors:  []color{{names: "success", color: "green"}, {names: "failure", color: warning}},
			queries: []query{rateBy("user_service_workload_key_fetches_total", "result")},
		},
	}
}
