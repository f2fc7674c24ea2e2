package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStats are statistics of the pool of database connections.
type PoolStats struct {
	Idle, Used, Max int32         // Idle connections, connections in use, and the maximum of both together.
	Acquired        int64         // Acquired connections since the start of the process.
	AcquireTime     time.Duration // The total time that callers waited for these connections.
	Canceled        int64         // Canceled acquisitions since the start.
}

// poolCollector exports PoolStats by OpenTelemetry's conventions for database clients
// (https://opentelemetry.io/docs/specs/semconv/database/database-metrics/).
type poolCollector struct {
	stats func() PoolStats

	count, limit, waitTime, timeouts *prometheus.Desc
}

func newPoolCollector(stats func() PoolStats) poolCollector {
	return poolCollector{
		stats:    stats,
		count:    newDesc("db_client_connection_count", "Database connections by state.", "db_client_connection_state"),
		limit:    newDesc("db_client_connection_max", "Maximum number of database connections."),
		waitTime: newDesc("db_client_connection_wait_time_seconds", "Time to get a connection from the pool."),
		timeouts: newDesc("db_client_connection_timeouts_total", "Waits for a connection that timed out or were canceled."),
	}
}

// Describe implements prometheus.Collector.
func (c poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.count, c.limit, c.waitTime, c.timeouts} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	send(c.count, prometheus.GaugeValue, float64(s.Idle), "idle")
	send(c.count, prometheus.GaugeValue, float64(s.Used), "used")
	send(c.limit, prometheus.GaugeValue, float64(s.Max))
	send(c.timeouts, prometheus.CounterValue, float64(s.Canceled))
	ch <- prometheus.MustNewConstSummary(c.waitTime, uint64(s.Acquired), s.AcquireTime.Seconds(), nil) //nolint:gosec // never negative
}
