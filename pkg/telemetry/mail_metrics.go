package telemetry

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// MailMetrics are the Prometheus metrics of the mailer. Their names differ from the names of the service's metrics, so that no alert or
// panel of the service counts the mailer as a replica. The methods are safe for concurrent use and don't block.
type MailMetrics struct {
	registry  *prometheus.Registry
	kinds     []string
	results   []string
	handled   *prometheus.CounterVec
	attempts  prometheus.Histogram
	available prometheus.Gauge
	connected *prometheus.GaugeVec
	queues    *prometheus.GaugeVec
	waited    *prometheus.GaugeVec
	rejected  prometheus.Gauge
	queries   *prometheus.HistogramVec
}

// NewMailMetrics returns MailMetrics with a new registry. version is the version of the program. kinds and results are all kinds of mails,
// and all results of events.
func NewMailMetrics(version string, kinds, results []string) *MailMetrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "user_service_mailer_build_info", Help: "Version of the running mailer; always 1.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(version, Revision(), runtime.Version()).Set(1)
	m := &MailMetrics{
		registry: registry, kinds: kinds, results: results,
		handled: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "user_service_mailer_events_total",
			Help: "Handled events, by kind of mail and result. Retried events are counted at each attempt.",
		}, []string{"kind", "result"}),
		attempts: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_mailer_send_duration_seconds",
			Help:    "Time of an attempt to send a mail, successful or not.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
		available: factory.NewGauge(prometheus.GaugeOpts{
			Name: "user_service_mailer_smtp_available",
			Help: "0 if the last attempt to send a mail failed for a reason that concerns all mails, otherwise 1.",
		}),
		connected: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "user_service_mailer_rabbitmq_connected",
			Help: "1 while the mailer gets events of the queue from RabbitMQ, otherwise 0.",
		}, []string{"queue"}),
		queues: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "user_service_mailer_queue_messages",
			Help: "Messages in the mailer's queues, every 10 seconds: ready to be handled, waiting for a retry, or parked.",
		}, []string{"queue", "state"}),
		waited: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "user_service_mailer_wait_seconds",
			Help: "How long the event of the last first attempt had waited; 0 while no event waits in the queue.",
		}, []string{"queue"}),
		rejected: factory.NewGauge(prometheus.GaugeOpts{
			Name: "user_service_mailer_secrets_reload_failed",
			Help: "Variables whose new value from a file is rejected.",
		}),
		queries: newQueryMetrics(factory),
	}
	m.available.Set(1) // until the first attempt
	for _, kind := range kinds {
		for _, result := range results {
			m.handled.WithLabelValues(kind, result)
		}
	}
	return m
}

// Handler serves scrapes, as Metrics.Handler does.
func (m *MailMetrics) Handler() http.Handler { return handlerFor(m.registry) }

// Queue returns the metrics of a queue.
func (m *MailMetrics) Queue(name string) *QueueMetrics {
	q := &QueueMetrics{
		connected: m.connected.WithLabelValues(name), waited: m.waited.WithLabelValues(name),
		lengths: m.queues.MustCurryWith(prometheus.Labels{"queue": name}),
	}
	q.Connected(false)
	return q
}

// MailHandled counts an event. It implements mail.Observer.
func (m *MailMetrics) MailHandled(kind, result string) {
	m.handled.WithLabelValues(bounded(m.kinds, kind), bounded(m.results, result)).Inc()
}

// MailAttempted records the duration of an attempt to send a mail, and whether the mail server is available. It implements mail.Observer.
func (m *MailMetrics) MailAttempted(took time.Duration, available bool) {
	m.attempts.Observe(took.Seconds())
	m.available.Set(oneIf(available))
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// SecretsRejected sets the number of variables whose new value is rejected.
func (m *MailMetrics) SecretsRejected(variables int) { m.rejected.Set(float64(variables)) }

// QueryDone records the time of a query, and its error. It implements postgres.QueryObserver.
func (m *MailMetrics) QueryDone(ctx context.Context, operation string, took time.Duration, failure string) {
	observe(ctx, m.queries.WithLabelValues(bounded(operations, operation), bounded(queryErrors, failure)), took)
}

// QueueMetrics are the metrics of one of the mailer's queues. They implement rabbitmq.ConsumerObserver.
type QueueMetrics struct {
	connected, waited prometheus.Gauge
	lengths           *prometheus.GaugeVec
}

// Connected sets the state of the connection to the broker. Without a connection, the times in the queue are measured by other mailers.
func (q *QueueMetrics) Connected(connected bool) {
	q.connected.Set(oneIf(connected))
	if !connected {
		q.waited.Set(0)
	}
}

// QueueLengths sets the lengths of the queue and of the queues that belong to it.
func (q *QueueMetrics) QueueLengths(ready, retrying, parked int) {
	q.lengths.WithLabelValues("ready").Set(float64(ready))
	q.lengths.WithLabelValues("retrying").Set(float64(retrying))
	q.lengths.WithLabelValues("parked").Set(float64(parked))
	if ready == 0 {
		q.waited.Set(0)
	}
}

// Waited sets how long the last event had waited.
func (q *QueueMetrics) Waited(waited time.Duration) { q.waited.Set(max(0, waited.Seconds())) }
