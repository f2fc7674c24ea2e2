package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readyCollector exports the results of the readiness checks at the time of the scrape. They are current even if no probe runs.
type readyCollector struct {
	desc  *prometheus.Desc
	ready func(context.Context) map[string]bool
}

func newReadyCollector(ready func(context.Context) map[string]bool) readyCollector {
	return readyCollector{ready: ready, desc: newDesc("user_service_ready",
		"Readiness by check: 1 if the check succeeds, otherwise 0. A pod is ready if all checks succeed.", "check")}
}

// Describe implements prometheus.Collector.
func (c readyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c readyCollector) Collect(ch chan<- prometheus.Metric) {
	for check, succeeded := range c.ready(context.Background()) {
		value := 0.0
		if succeeded {
			value = 1
		}
		ch <- gauge(c.desc, value, check)
	}
}

// certificateCollector exports when the certificates in files expire.
type certificateCollector struct {
	desc   *prometheus.Desc
	expiry func() map[string]time.Time
}

func newCertificateCollector(expiry func() map[string]time.Time) certificateCollector {
	return certificateCollector{expiry: expiry, desc: newDesc("user_service_certificate_expiry_timestamp_seconds",
		"Time at which the first certificate of a file expires, by the use of the file.", "use")}
}

// Describe implements prometheus.Collector.
func (c certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c certificateCollector) Collect(ch chan<- prometheus.Metric) {
	for use, expiry := range c.expiry() {
		ch <- gauge(c.desc, float64(expiry.Unix()), use)
	}
}
