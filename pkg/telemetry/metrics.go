package telemetry

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many scrapes are answered at the same time, as each asks the database.
const maxScrapes = 4

// Metrics counts and measures what the service does, for Prometheus. Names are those of
// OpenTelemetry's semantic conventions where it has one, else begin with user_service_. Labels have
// few, known values: nothing that a client sends makes a new series. Its methods are
// safe for concurrent use and don't block.
type Metrics struct {
	registry *prometheus.Registry
	http     httpMetrics
	limited  *prometheus.CounterVec
	accounts accountMetrics
	queries  *prometheus.HistogramVec
	hashing  hashMetrics
	outbox   outboxMetrics
	rabbitmq rabbitMQMetrics
}

// NewMetrics returns Metrics with a registry of their own. version is that of the program,
// eventTypes are all types of event that it publishes, and tables those that the cleanup deletes rows of.
func NewMetrics(version string, eventTypes, tables []string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "user_service_build_info", Help: "Version of the running build; always 1.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(version, revision(), runtime.Version()).Set(1)
	return &Metrics{
		registry: registry,
		http:     newHTTPMetrics(factory),
		limited:  newRateLimited(factory),
		accounts: newAccountMetrics(factory, tables),
		queries:  newQueryMetrics(factory),
		hashing:  newHashMetrics(factory),
		outbox:   newOutboxMetrics(factory, eventTypes),
		rabbitmq: newRabbitMQMetrics(factory),
	}
}

// Handler answers scrapes, in Prometheus's text format or in OpenMetrics. What can't be collected is
// left out, and counted in promhttp_metric_handler_errors_total.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}

// revision returns the commit that the program was built from, or "unknown" if it was built
// outside of a repository.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}

// other stands for all label values that are not known, by OpenTelemetry's convention.
const other = "_OTHER"

// bounded returns value if it is a known one, else other.
func bounded(known []string, value string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}

// newCounter returns a counter with one label whose known values show 0 from the start, so that a
// dashboard has a line and an alert has a rate before the first event.
func newCounter(factory promauto.Factory, name, help, label string, known []string) *prometheus.CounterVec {
	counter := factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	for _, value := range known {
		counter.WithLabelValues(value)
	}
	return counter
}
