package telemetry_test

import (
	"user-service/pkg/httpapi"
	"user-service/pkg/mail"
	"user-service/pkg/outbox"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
	"user-service/pkg/user"
)

// Metrics, MailMetrics and QueueMetrics implement the observers of the other packages.
var (
	_ httpapi.Observer         = (*telemetry.Metrics)(nil)
	_ outbox.Observer          = (*telemetry.Metrics)(nil)
	_ password.Observer        = (*telemetry.Metrics)(nil)
	_ postgres.QueryObserver   = (*telemetry.Metrics)(nil)
	_ postgres.CleanupObserver = (*telemetry.Metrics)(nil)
	_ user.Observer            = (*telemetry.Metrics)(nil)
	_ rabbitmq.Observer        = (*telemetry.Metrics)(nil)

	_ mail.Observer             = (*telemetry.MailMetrics)(nil)
	_ postgres.QueryObserver    = (*telemetry.MailMetrics)(nil)
	_ rabbitmq.ConsumerObserver = (*telemetry.QueueMetrics)(nil)
)
