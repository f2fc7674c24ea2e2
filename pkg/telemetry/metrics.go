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
	dto "github.com/prometheus/client_model/go"
)

// maxScrapes limits the concurrent scrapes, because each scrape queries the database.
const maxScrapes = 4

// Metrics are the Prometheus metrics of the service. A name follows OpenTelemetry's semantic conventions, or begins with user_service_.
// Label values are known in advance, so that a client can't create series. The methods are safe for concurrent use and don't block.
type Metrics struct {
	registry *prometheus.Registry
	http     httpMetrics
	limited  *prometheus.CounterVec
	accounts accountMetrics
	workload workloadMetrics
	queries  *prometheus.HistogramVec
	hashing  hashMetrics
	outbox   outboxMetrics
	rabbitmq rabbitMQMetrics
}

// NewMetrics returns Metrics with a new registry. version is the version of the program, eventTypes are all types of events, and tables are
// the tables from which the cleanup deletes rows.
func NewMetrics(version string, eventTypes, tables []string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "user_service_build_info", Help: "Version of the running build; always 1.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(version, Revision(), runtime.Version()).Set(1)
	return &Metrics{
		registry: registry,
		http:     newHTTPMetrics(factory),
		limited:  newRateLimited(factory),
		accounts: newAccountMetrics(factory, tables),
		workload: newWorkloadMetrics(factory),
		queries:  newQueryMetrics(factory),
		hashing:  newHashMetrics(factory),
		outbox:   newOutboxMetrics(factory, eventTypes),
		rabbitmq: newRabbitMQMetrics(factory),
	}
}

// Handler serves scrapes in Prometheus's text format or OpenMetrics. It omits metrics that can't be collected, and counts them in
// promhttp_metric_handler_errors_total.
func (m *Metrics) Handler() http.Handler { return handlerFor(m.registry) }

func handlerFor(registry *prometheus.Registry) http.Handler {
	gatherer := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return gather(registry) })
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		Registry:            registry,
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}

// gather omits go_memstats_alloc_bytes_total, because in OpenMetrics its family would have the name of the gauge
// go_memstats_alloc_bytes.
func gather(registry *prometheus.Registry) ([]*dto.MetricFamily, error) {
	families, err := registry.Gather()
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "go_memstats_alloc_bytes_total" }), err
}

// revision is set when the program is linked outside a repository, as in the Dockerfile.
var revision string

// Revision returns the commit of the build, or "unknown" if neither the linker nor a repository names it.
func Revision() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}

// other replaces unknown label values, by OpenTelemetry's convention.
const other = "_OTHER"

// bounded returns value if it is known, and other otherwise.
func bounded(known []string, value string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}

// newCounter returns a counter with one label. The known values start at 0, so that dashboards and alerts have data before the first
// event.
func newCounter(factory promauto.Factory, name, help, label string, known []string) *prometheus.CounterVec {
	counter := factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	for _, value := range known {
		counter.WithLabelValues(value)
	}
	return counter
}
