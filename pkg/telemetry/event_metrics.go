package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type outboxMetrics struct {
	types     []string // all types of events
	published *prometheus.CounterVec
	failed    *prometheus.CounterVec
	returned  *prometheus.CounterVec
	delivery  prometheus.Histogram
}

func newOutboxMetrics(factory promauto.Factory, types []string) outboxMetrics {
	return outboxMetrics{
		types: types,
		published: newCounter(factory, "user_service_outbox_published_total",
			"Events confirmed by the broker, by type.", "type", types),
		failed: newCounter(factory, "user_service_outbox_failed_total",
			"Failed publish attempts, including refusals; each is retried.", "type", types),
		returned: newCounter(factory, "user_service_events_unroutable_total",
			"Unroutable events: the broker returned them, because no queue is bound.", "type", types),
		delivery: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_outbox_delivery_seconds",
			Help:    "Time from a change to the broker's confirm of its event.",
			Buckets: []float64{0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900},
		}),
	}
}

// EventPublished records a confirmed event and its age. It implements outbox.Observer.
func (m *Metrics) EventPublished(eventType string, age time.Duration) {
	m.outbox.published.WithLabelValues(bounded(m.outbox.types, eventType)).Inc()
	m.outbox.delivery.Observe(age.Seconds())
}

// EventFailed counts a failed attempt to publish an event. It implements outbox.Observer.
func (m *Metrics) EventFailed(eventType string) {
	m.outbox.failed.WithLabelValues(bounded(m.outbox.types, eventType)).Inc()
}

// Returned counts an unroutable event. It implements rabbitmq.Observer.
func (m *Metrics) Returned(eventType string) {
	m.outbox.returned.WithLabelValues(bounded(m.outbox.types, eventType)).Inc()
}

type rabbitMQMetrics struct {
	connected prometheus.Gauge
	confirm   prometheus.Histogram
	nacked    prometheus.Counter
}

func newRabbitMQMetrics(factory promauto.Factory) rabbitMQMetrics {
	return rabbitMQMetrics{
		connected: factory.NewGauge(prometheus.GaugeOpts{
			Name: "user_service_rabbitmq_connected",
			Help: "1 with a connection to RabbitMQ, otherwise 0.",
		}),
		confirm: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_rabbitmq_confirm_duration_seconds",
			Help:    "Time from the publishing of an event to RabbitMQ's confirm.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}),
		nacked: factory.NewCounter(prometheus.CounterOpts{
			Name: "user_service_rabbitmq_nacked_total",
			Help: "Events refused by RabbitMQ; each is retried later.",
		}),
	}
}

// Connected sets the state of the connection to the broker. It implements rabbitmq.Observer.
func (m *Metrics) Connected(connected bool) {
	if connected {
		m.rabbitmq.connected.Set(1)
	} else {
		m.rabbitmq.connected.Set(0)
	}
}

// Confirmed records the latency of a confirm. It implements rabbitmq.Observer.
func (m *Metrics) Confirmed(latency time.Duration) { m.rabbitmq.confirm.Observe(latency.Seconds()) }

// Nacked counts an event that the broker refused. It implements rabbitmq.Observer.
func (m *Metrics) Nacked() { m.rabbitmq.nacked.Inc() }
