package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// callers are the known kinds of callers.
var callers = []string{"anonymous", "user", "workload"}

// keyFetchResults are the results of fetching the keys of WORKLOAD_ISSUER.
var keyFetchResults = []string{"success", "failure"}

type workloadMetrics struct {
	authorized *prometheus.CounterVec
	keyFetches *prometheus.CounterVec
}

func newWorkloadMetrics(factory promauto.Factory) workloadMetrics {
	return workloadMetrics{
		authorized: newCounter(factory, "user_service_authorized_requests_total",
			"Requests that passed the authorization of their route, by kind of caller; a workload is another service.", "caller", callers),
		keyFetches: newCounter(factory, "user_service_workload_key_fetches_total",
			"Fetches of the keys of WORKLOAD_ISSUER by result. After a failure, the known keys stay valid for 24 hours.",
			"result", keyFetchResults),
	}
}

// Authorized counts a request by the kind of its caller. It implements httpapi.Observer.
func (m *Metrics) Authorized(caller string) {
	m.workload.authorized.WithLabelValues(bounded(callers, caller)).Inc()
}

// KeysFetched counts a fetch of the keys of WORKLOAD_ISSUER. It implements workload.Observer.
func (m *Metrics) KeysFetched(err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.workload.keyFetches.WithLabelValues(result).Inc()
}
