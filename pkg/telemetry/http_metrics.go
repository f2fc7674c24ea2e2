package telemetry

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"
)

// unmatched is the route label of requests without a route.
const unmatched = "unmatched"

// methods are the known methods of OpenTelemetry's conventions
// (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

type httpMetrics struct {
	duration *prometheus.HistogramVec
	active   *prometheus.GaugeVec
}

func newHTTPMetrics(factory promauto.Factory) httpMetrics {
	m := httpMetrics{
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_server_request_duration_seconds",
			Help:    "Time from the first handler to the end of the response.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, // as the convention recommends
		}, []string{"http_request_method", "http_route", "http_response_status_code"}),
		active: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "http_server_active_requests",
			Help: "Requests in progress.",
		}, []string{"http_request_method"}),
	}
	for _, method := range methods {
		m.active.WithLabelValues(method)
	}
	return m
}

// RequestStarted records the start of a request. Call done at its end, with the pattern of the route ("" without a route) and the status of
// the response.
func (m *Metrics) RequestStarted(ctx context.Context, method string) (done func(route string, status int)) {
	method = bounded(methods, method)
	active := m.http.active.WithLabelValues(method)
	active.Inc()
	started := time.Now()
	return func(route string, status int) {
		active.Dec()
		observe(ctx, m.http.duration.WithLabelValues(method, cmp.Or(route, unmatched), strconv.Itoa(status)), time.Since(started))
	}
}

// observe adds a duration to a histogram. If the trace of ctx is recorded, the trace becomes the exemplar of the duration, so that an
// operator finds the traces of slow requests.
func observe(ctx context.Context, histogram prometheus.Observer, took time.Duration) {
	span := trace.SpanContextFromContext(ctx)
	if exemplary, ok := histogram.(prometheus.ExemplarObserver); ok && span.IsSampled() {
		exemplary.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": span.TraceID().String()})
		return
	}
	histogram.Observe(took.Seconds())
}

// policies are the known rate limits.
var policies = []string{"account", "account-address", "account-network", "address", "bodies", "login", "network", "queue", "session"}

func newRateLimited(factory promauto.Factory) *prometheus.CounterVec {
	return newCounter(factory, "user_service_rate_limited_total",
		"Requests refused by a limit, by the limit's name; bodies limits the total size of request bodies.",
		"policy", policies)
}

// RateLimited counts a request that a rate limit refused. It implements httpapi.Observer.
func (m *Metrics) RateLimited(policy string) {
	m.limited.WithLabelValues(bounded(policies, policy)).Inc()
}
