package telemetry

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// durations are the buckets in seconds that OpenTelemetry's conventions advise for HTTP.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Metrics is everything that is counted and timed. Its methods are what the other
// packages ask of their observers.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.HistogramVec
	active   *prometheus.GaugeVec

	hashDuration prometheus.Histogram
	hashWait     prometheus.Histogram
	hashRefused  *prometheus.CounterVec

	published *prometheus.CounterVec
	failed    *prometheus.CounterVec
	returned  *prometheus.CounterVec
	delay     prometheus.Histogram

	connected prometheus.Gauge
	confirm   prometheus.Histogram
	nacked    prometheus.Counter
}

// NewMetrics returns Metrics of a build, with the types of events at zero, so that
// what has not happened yet is there to be seen.
func NewMetrics(version string, eventTypes []string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: histogramVec("http_server_request_duration_seconds", "Duration of HTTP requests by route pattern.",
			"http_request_method", "http_route", "http_response_status_code"),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "http_server_active_requests", Help: "HTTP requests that are being answered.",
		}, []string{"http_request_method"}),
		hashDuration: histogram("user_service_password_hash_duration_seconds", "Time to compute one password hash."),
		hashWait:     histogram("user_service_password_hash_wait_seconds", "Time that a password waited for its turn to be hashed."),
		hashRefused:  counterVec("user_service_password_hash_refused_total", "Passwords not hashed because too many waited.", "reason"),
		published:    counterVec("user_service_outbox_published_total", "Events that the broker has confirmed.", "type"),
		failed:       counterVec("user_service_outbox_publish_failures_total", "Tries to publish an event that failed; the event waits.", "type"),
		returned:     counterVec("user_service_outbox_returned_total", "Published events that no queue took.", "type"),
		delay:        histogram("user_service_outbox_delay_seconds", "Time from a change to the broker's confirm of its event."),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "user_service_rabbitmq_connected", Help: "1 while there is a connection to RabbitMQ.",
		}),
		confirm: histogram("user_service_rabbitmq_confirm_duration_seconds", "Time that RabbitMQ took to confirm an event."),
		nacked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "user_service_rabbitmq_nacked_total", Help: "Events that RabbitMQ refused.",
		}),
	}
	for _, typ := range eventTypes {
		m.published.WithLabelValues(typ)
		m.failed.WithLabelValues(typ)
		m.returned.WithLabelValues(typ)
	}
	m.hashRefused.WithLabelValues("queue_full")
	m.hashRefused.WithLabelValues("timeout")
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(version), m.requests, m.active, m.hashDuration, m.hashWait, m.hashRefused,
		m.published, m.failed, m.returned, m.delay, m.connected, m.confirm, m.nacked)
	return m
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
}

// RequestStarted counts a request in; done counts it out, with the pattern of its route.
func (m *Metrics) RequestStarted(method string) (done func(route string, status int)) {
	if !slices.Contains(methods, method) {
		method = "_OTHER" // OpenTelemetry's name for methods that anybody can make up
	}
	started := time.Now()
	m.active.WithLabelValues(method).Inc()
	return func(route string, status int) {
		m.active.WithLabelValues(method).Dec()
		m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(time.Since(started).Seconds())
	}
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// HashDone tells of a password that was hashed.
func (m *Metrics) HashDone(waited, ran time.Duration) {
	m.hashWait.Observe(waited.Seconds())
	m.hashDuration.Observe(ran.Seconds())
}

// HashRefused tells of a password that was not hashed.
func (m *Metrics) HashRefused(reason string) { m.hashRefused.WithLabelValues(reason).Inc() }

// EventPublished tells of an event that the broker confirmed, age after its change.
func (m *Metrics) EventPublished(typ string, age time.Duration) {
	m.published.WithLabelValues(typ).Inc()
	m.delay.Observe(age.Seconds())
}

// EventFailed tells of an event that could not be published this time.
func (m *Metrics) EventFailed(typ string) { m.failed.WithLabelValues(typ).Inc() }

// Connected tells whether there is a connection to the broker.
func (m *Metrics) Connected(connected bool) {
	m.connected.Set(0)
	if connected {
		m.connected.Set(1)
	}
}

// Confirmed tells how long the broker took to confirm an event.
func (m *Metrics) Confirmed(latency time.Duration) { m.confirm.Observe(latency.Seconds()) }

// Nacked tells of an event that the broker refused.
func (m *Metrics) Nacked() { m.nacked.Inc() }

// Returned tells of an event that no queue took.
func (m *Metrics) Returned(typ string) { m.returned.WithLabelValues(typ).Inc() }

func histogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: durations})
}

func histogramVec(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: durations}, labels)
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "user_service_build_info", Help: "Always 1; the label tells the build.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	return info
}
