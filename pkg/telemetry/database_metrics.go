package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// askTimeout is how long a scrape waits for the database.
const askTimeout = time.Second

func outboxQuestion(s Sources) *question {
	return &question{
		ask: func(ctx context.Context) ([]float64, error) {
			pending, oldest, err := s.Outbox(ctx)
			return []float64{float64(pending), oldest.Seconds()}, err
		},
		answers: []*prometheus.Desc{
			newDesc("user_service_outbox_pending_events", "Events that wait to be published; 100000 stands for so many or more."),
			newDesc("user_service_outbox_oldest_event_age_seconds", "Time that the oldest waiting event has waited; 0 if none waits."),
		},
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "user_service_outbox_scrape_errors_total",
			Help: "Scrapes for which the database did not tell the state of the outbox.",
		}),
	}
}

func schemaQuestion(s Sources) *question {
	return &question{
		ask: func(ctx context.Context) ([]float64, error) {
			version, err := s.Schema(ctx)
			return []float64{float64(version)}, err
		},
		answers: []*prometheus.Desc{
			newDesc("user_service_schema_version", "The version of the database's schema; 0 if it has none."),
		},
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "user_service_schema_scrape_errors_total",
			Help: "Scrapes for which the database did not tell the version of its schema.",
		}),
	}
}

// question is a collector that asks the database. Without an answer its gauges are absent, as an
// old or zero value would pass for a good one.
type question struct {
	ask     func(context.Context) ([]float64, error)
	answers []*prometheus.Desc // one for each value that ask returns
	failed  prometheus.Counter
}

// Describe implements prometheus.Collector.
func (q *question) Describe(ch chan<- *prometheus.Desc) {
	for _, answer := range q.answers {
		ch <- answer
	}
	q.failed.Describe(ch)
}

// Collect implements prometheus.Collector.
func (q *question) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	values, err := q.ask(ctx)
	if err != nil {
		q.failed.Inc()
		values = nil
	}
	for i, value := range values {
		ch <- prometheus.MustNewConstMetric(q.answers[i], prometheus.GaugeValue, value)
	}
	q.failed.Collect(ch)
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}
