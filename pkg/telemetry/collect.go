package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what a scrape asks of the database.
const scrapeTimeout = time.Second

// Sources are asked whenever the metrics are scraped, so that the figures are never old.
type Sources struct {
	HashRunning func() int64
	HashWaiting func() int64
	Pool        func() PoolStats
	Outbox      func(context.Context) (pending int64, oldest time.Duration, err error)
	Schema      func(context.Context) (int64, error)
	// SchemaRequired is the least version of the schema that this build runs on.
	SchemaRequired int64
}

// PoolStats are the figures of the pool of database connections.
type PoolStats struct {
	Idle, Used, Max int32
	Acquired        int64         // connections handed out so far
	AcquireTime     time.Duration // what handing them out took, in all
	Canceled        int64         // requests for a connection that were given up
}

// Watch adds the figures of the sources to the metrics.
func (m *Metrics) Watch(s Sources) {
	m.registry.MustRegister(&poolCollector{s.Pool}, &databaseCollector{s},
		gaugeFunc("user_service_password_hashes_running", "Passwords being hashed.", s.HashRunning),
		gaugeFunc("user_service_password_hashes_waiting", "Passwords waiting for their turn to be hashed.", s.HashWaiting))
}

func gaugeFunc(name, help string, read func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
}

// The pool's figures by OpenTelemetry's conventions for database clients.
var (
	poolCount = prometheus.NewDesc("db_client_connection_count", "Connections of the database pool by state.",
		[]string{"db_client_connection_state"}, nil)
	poolMax      = prometheus.NewDesc("db_client_connection_max", "Connections that the database pool may hold.", nil, nil)
	poolAcquired = prometheus.NewDesc("user_service_db_pool_acquired_total", "Connections that the database pool has handed out.", nil, nil)
	poolTime     = prometheus.NewDesc("user_service_db_pool_acquire_seconds_total", "Time that handing out connections has taken.", nil, nil)
	poolCanceled = prometheus.NewDesc("user_service_db_pool_canceled_total", "Requests for a connection that were given up.", nil, nil)
)

type poolCollector struct{ stats func() PoolStats }

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolCount, poolMax, poolAcquired, poolTime, poolCanceled} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	ch <- prometheus.MustNewConstMetric(poolCount, prometheus.GaugeValue, float64(s.Idle), "idle")
	ch <- prometheus.MustNewConstMetric(poolCount, prometheus.GaugeValue, float64(s.Used), "used")
	ch <- prometheus.MustNewConstMetric(poolMax, prometheus.GaugeValue, float64(s.Max))
	ch <- prometheus.MustNewConstMetric(poolAcquired, prometheus.CounterValue, float64(s.Acquired))
	ch <- prometheus.MustNewConstMetric(poolTime, prometheus.CounterValue, s.AcquireTime.Seconds())
	ch <- prometheus.MustNewConstMetric(poolCanceled, prometheus.CounterValue, float64(s.Canceled))
}

var (
	databaseUp     = prometheus.NewDesc("user_service_database_up", "1 if the database answered this scrape.", nil, nil)
	outboxPending  = prometheus.NewDesc("user_service_outbox_pending_events", "Events that wait in the outbox.", nil, nil)
	outboxOldest   = prometheus.NewDesc("user_service_outbox_oldest_event_age_seconds", "Age of the oldest event in the outbox.", nil, nil)
	schemaVersion  = prometheus.NewDesc("user_service_schema_version", "Version of the database's schema.", nil, nil)
	schemaRequired = prometheus.NewDesc("user_service_schema_required_version", "Least version of the schema that this build needs.", nil, nil)
)

// databaseCollector asks the database. Without an answer its figures are absent, not zero.
type databaseCollector struct{ s Sources }

// Describe implements prometheus.Collector.
func (c *databaseCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{databaseUp, outboxPending, outboxOldest, schemaVersion, schemaRequired} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *databaseCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	gauge(schemaRequired, float64(c.s.SchemaRequired))
	version, err := c.s.Schema(ctx)
	if err != nil {
		gauge(databaseUp, 0)
		return
	}
	gauge(databaseUp, 1)
	gauge(schemaVersion, float64(version))
	if pending, oldest, err := c.s.Outbox(ctx); err == nil {
		gauge(outboxPending, float64(pending))
		gauge(outboxOldest, oldest.Seconds())
	}
}
