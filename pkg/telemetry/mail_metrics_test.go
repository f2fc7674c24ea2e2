package telemetry_test

import (
	"testing"
	"time"

	"user-service/pkg/telemetry"
)

// TestTheTimeInAQueue checks that the time of the last first attempt is kept while messages wait in the queue. Each queue has its own time.
func TestTheTimeInAQueue(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMailMetrics("1.2.3", nil, nil)
	urgent, other := m.Queue("urgent"), m.Queue("other")
	urgent.Connected(true)
	urgent.Waited(-time.Second) // the clocks differ
	other.Waited(time.Minute)
	other.QueueLengths(7, 2, 1)
	has(t, scrape(t, m), map[string]float64{
		`user_service_mailer_wait_seconds{queue="urgent"}`:                   0,
		`user_service_mailer_wait_seconds{queue="other"}`:                    60,
		`user_service_mailer_queue_messages{queue="other",state="ready"}`:    7,
		`user_service_mailer_queue_messages{queue="other",state="retrying"}`: 2,
		`user_service_mailer_queue_messages{queue="other",state="parked"}`:   1,
		`user_service_mailer_rabbitmq_connected{queue="urgent"}`:             1,
		`user_service_mailer_rabbitmq_connected{queue="other"}`:              0,
	})
	other.QueueLengths(0, 2, 1)
	has(t, scrape(t, m), map[string]float64{`user_service_mailer_wait_seconds{queue="other"}`: 0})
	other.Waited(time.Minute)
	other.Connected(false)
	has(t, scrape(t, m), map[string]float64{`user_service_mailer_wait_seconds{queue="other"}`: 0})
}
