package main

func database() []panel {
	return []panel{
		{
			title: "Query time", unit: "s",
			about:  "95th percentile of the query time by operation. BATCH: several queries in one round trip.",
			colors: operations,
			queries: []query{{
				`histogram_quantile(0.95, sum by (le, db_operation_name) ` +
					`(rate(db_client_operation_duration_seconds_bucket{@}[$__rate_interval]))) >= 0`,
				"{{db_operation_name}}",
			}},
		},
		{
			title: "Queries", unit: "ops", stacked: true,
			about:   "Queries per second by operation.",
			colors:  operations,
			queries: []query{rateBy("db_client_operation_duration_seconds_count", "db_operation_name")},
		},
		{
			title: "Failed queries", unit: "ops", stacked: true,
			about:  "Failed queries per second, by the class of PostgreSQL's error code. Constraint violations are normal.",
			colors: errorClasses,
			queries: []query{{
				`sum by (error_type) (rate(db_client_operation_duration_seconds_count{@,error_type!=""}[$__rate_interval])) ` +
					`or on () label_replace(0 * sum(up{@}), "error_type", "none", "", "")`,
				"{{error_type}}",
			}},
		},
		{
			title: "Connections", unit: "short", stacked: true,
			about:   "Connections of all pods. The dashed line is their maximum, which is DATABASE_MAX_CONNS of each pod.",
			colors:  []color{{names: "used", color: "blue"}, {names: "idle", color: "green"}},
			queries: []query{{`sum by (db_client_connection_state) (db_client_connection_count{@})`, "{{db_client_connection_state}}"}},
			caps:    []query{{`sum(db_client_connection_max{@})`, "maximum"}},
		},
		{
			title: "Connections in use", unit: "percent", max: 100,
			about: "Share of each pod's connections in use. At 100 %, requests wait, and get 503 after 1.8 s.",
			alert: "UserServiceDatabasePoolExhausted", limit: limit{name: "poolUsedPercent", value: 90, warning: true},
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
			colors: eventTypes, queries: []query{{`max by (type) (user_service_outbox_parked_events{@})`, "{{type}}"}},
		},
		{
			title: "Connected to RabbitMQ", unit: "short", max: 1,
			about: "1 for each pod with a connection to RabbitMQ. Pods without a connection still serve requests.",
			alert: "UserServiceBrokerAway", limit: limit{value: 1, below: true, warning: true},
			queries: []query{{`sum by (pod) (user_service_rabbitmq_connected{@})`, "{{pod}}"}},
		},
		{
			title: "Published events", unit: "ops", stacked: true,
			about:   "Events confirmed by RabbitMQ per second, by type.",
			colors:  eventTypes,
			queries: []query{rateBy("user_service_outbox_published_total", "type")},
		},
		{
			title: "Retried, refused and unroutable events", unit: "ops",
			about: "Events per second that are retried after a failure, that RabbitMQ refused, or that are unroutable. " +
				"Unroutable events can mean that a consumer's queue is missing.",
			alert: "UserServiceTokensUnroutable",
			queries: []query{
				{`sum(rate(user_service_outbox_failed_total{@}[$__rate_interval]))`, "retried"},
				{`sum(rate(user_service_rabbitmq_nacked_total{@}[$__rate_interval]))`, "refused"},
				{`sum(rate(user_service_events_unroutable_total{@}[$__rate_interval]))`, "unroutable"},
			},
		},
		{
			title: "Time to publish", unit: "s", logarithmic: true,
			about: "Time from the change to RabbitMQ's confirm, and the confirm's part of this time. The axis is logarithmic.",
			queries: []query{
				{quantiles("user_service_outbox_delivery_seconds", "@")[0].expr, "from the change, p50"},
				{quantiles("user_service_outbox_delivery_seconds", "@")[2].expr, "from the change, p99"},
				{quantiles("user_service_rabbitmq_confirm_duration_seconds", "@")[2].expr, "confirm, p99"},
			},
		},
	}
}

// mails returns the panels of the mailer, which have no data without a mailer.
func mails() []panel { return append(mailQueuePanels(), mailSendingPanels()...) }

func mailQueuePanels() []panel {
	return []panel{
		{
			title: "Mailer", unit: "short", max: 1,
			about: "1 while the mail server accepts mails, and while mailers get the events of both queues. Without a mailer, there is " +
				"no data.",
			alert: "UserServiceMailsNotSent", limit: limit{value: 1, below: true},
			queries: []query{
				{`max(user_service_mailer_smtp_available{` + mailerLabels + `})`, "mail server"},
				{`min(max by (queue) (user_service_mailer_rabbitmq_connected{` + mailerLabels + `}))`, "RabbitMQ"},
			},
		},
		{
			title: "Mails by result", unit: "ops", stacked: true,
			about: "Events that the mailer handles per second, by result. retried: each attempt that is repeated later. " +
				"duplicate, expired, outdated, unneeded, unverified and limited: no mail is sent, as intended. " +
				"forwarded: the other queue has the event now.",
			colors: mailResults,
			queries: []query{
				{`sum by (result) (rate(user_service_mailer_events_total{` + mailerLabels + `}[$__rate_interval]))`, "{{result}}"},
			},
		},
		{
			title: "Mails that wait", unit: "short", colors: []color{{names: "ready", color: "blue"}, {names: "retrying", color: "yellow"}},
			about: "Events in both queues of the mailer, and events that wait for another attempt.",
			queries: []query{{
				`sum by (state) (max by (queue, state) (user_service_mailer_queue_messages{` + mailerLabels +
					`,state!="parked"}))`, "{{state}}",
			}},
		},
		{
			title: "Time in the queue", unit: "s",
			about: "How long events wait until their first attempt, by queue. The urgent queue has resets, invitations and notices. " +
				"Without waiting events, the time is 0.",
			alert: "UserServiceMailsDelayed", limit: limit{name: "mailDelaySeconds", value: 300},
			colors: []color{{names: ".*urgent", color: "purple"}, {names: ".*", color: "blue"}},
			queries: []query{
				{`max by (queue) (user_service_mailer_wait_seconds{` + mailerLabels + `})`, "{{queue}}"},
			},
		},
	}
}

func mailSendingPanels() []panel {
	return []panel{
		{
			title: "Parked mails", unit: "short",
			about: "Events whose mails the mail server refused, or did not accept for a day. An operator must look at them.",
			alert: "UserServiceMailsParked", limit: limit{name: "parkedMails", value: 10, warning: true},
			queries: []query{
				{`sum(max by (queue) (user_service_mailer_queue_messages{` + mailerLabels + `,state="parked"}))`, "parked"},
			},
		},
		{
			title: "Time to send", unit: "s", about: "Time of an attempt to send a mail, successful or not.", colors: tails,
			queries: quantiles("user_service_mailer_send_duration_seconds", mailerLabels),
		},
		{
			title: "Pods of the mailer", unit: "short", about: "Running pods of the mailer by version.",
			queries: []query{{`sum by (version) (user_service_mailer_build_info{` + mailerLabels + `})`, "{{version}}"}},
		},
		{
			title: "Rejected secrets of the mailer", unit: "short",
			about:   "Variables of the mailer whose new value from a file is rejected, by pod. The old value stays in use.",
			queries: []query{{`max by (pod) (user_service_mailer_secrets_reload_failed{` + mailerLabels + `})`, "{{pod}}"}},
		},
	}
}
