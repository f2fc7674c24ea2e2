package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// operations and queryErrors are the known label values of queries: the statements of the service, and the kinds of errors. Errors of the
// server are classes of PostgreSQL's error codes (https://www.postgresql.org/docs/current/errcodes-appendix.html).
var (
	operations  = []string{"BEGIN", "BATCH", "COMMIT", "DELETE", "INSERT", "ROLLBACK", "SELECT", "UPDATE", "WITH"}
	queryErrors = []string{"", "canceled", "timeout", "08", "22", "23", "25", "40", "42", "53", "55", "57", "58", "XX"}
)

func newQueryMetrics(factory promauto.Factory) *prometheus.HistogramVec {
	vec := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name: "db_client_operation_duration_seconds",
		Help: "Time of a query or a batch, until the end of its result. error_type is empty, canceled, timeout, " +
			"or the class of PostgreSQL's error code.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
	}, []string{"db_operation_name", "error_type"})
	for _, operation := range operations {
		vec.WithLabelValues(operation, "")
	}
	return vec
}

// QueryDone records the time of a query, and its error. It implements postgres.QueryObserver.
func (m *Metrics) QueryDone(ctx context.Context, operation string, took time.Duration, failure string) {
	observe(ctx, m.queries.WithLabelValues(bounded(operations, operation), bounded(queryErrors, failure)), took)
}

// queryTimeout bounds the queries of a scrape.
const queryTimeout = time.Second

func outboxCollector(s Sources, types []string) *queryCollector {
	pendingDesc := newDesc("user_service_outbox_pending_events",
		"Events that wait to be published; at most 100000 are counted.")
	ageDesc := newDesc("user_service_outbox_oldest_event_age_seconds",
		"Age of the oldest waiting event, without parked events and events behind a refused event; 0 if no event waits.")
	parkedDesc := newDesc("user_service_outbox_parked_events",
		"Parked events: the broker has refused them at least 20 times in a row; at most 100000 are counted.", "type")
	return newQueryCollector("user_service_outbox_scrape_errors_total",
		"Scrapes without the state of the outbox, because the database query failed.",
		func(ctx context.Context) ([]prometheus.Metric, error) {
			pending, oldest, err := s.Outbox(ctx)
			if err != nil {
				return nil, err
			}
			parked, err := s.Parked(ctx)
			counts := make(map[string]int64)
			for typ, n := range parked {
				counts[bounded(types, typ)] += n
			}
			metrics := []prometheus.Metric{gauge(pendingDesc, float64(pending)), gauge(ageDesc, oldest.Seconds())}
			for _, typ := range types {
				metrics = append(metrics, gauge(parkedDesc, float64(counts[typ]), typ))
				delete(counts, typ)
			}
			for typ, n := range counts {
				metrics = append(metrics, gauge(parkedDesc, float64(n), typ))
			}
			return metrics, err
		}, pendingDesc, ageDesc, parkedDesc)
}

func schemaCollector(s Sources) *queryCollector {
	desc := newDesc("user_service_schema_version", "Version of the database schema; 0 without a schema.")
	return newQueryCollector("user_service_schema_scrape_errors_total",
		"Scrapes without the schema version, because the database query failed.",
		func(ctx context.Context) ([]prometheus.Metric, error) {
			version, err := s.Schema(ctx)
			return []prometheus.Metric{gauge(desc, float64(version))}, err
		}, desc)
}

func keyCollector(s Sources) *queryCollector {
	desc := newDesc("user_service_token_key_since_timestamp_seconds",
		"Time of the first use of each current token key, in any replica; use is sign or accept.", "kid", "algorithm", "use")
	return newQueryCollector("user_service_token_key_scrape_errors_total",
		"Scrapes without the age of the keys, because the database query failed.",
		func(ctx context.Context) ([]prometheus.Metric, error) {
			keys, err := s.Keys(ctx)
			var out []prometheus.Metric
			for _, k := range keys {
				use := "accept"
				if k.Signs {
					use = "sign"
				}
				out = append(out, gauge(desc, float64(k.Since.UnixMilli())/1000, k.ID, k.Algorithm, use))
			}
			return out, err
		}, desc)
}

// databaseCollector collects the statistics of the pool before it queries the database. The queries use connections of the pool, and would
// otherwise count as load.
type databaseCollector struct {
	pool    poolCollector
	queries []*queryCollector
}

// Describe implements prometheus.Collector.
func (c databaseCollector) Describe(ch chan<- *prometheus.Desc) {
	c.pool.Describe(ch)
	for _, q := range c.queries {
		q.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c databaseCollector) Collect(ch chan<- prometheus.Metric) {
	c.pool.Collect(ch)
	var all sync.WaitGroup
	for _, q := range c.queries {
		all.Go(func() { q.Collect(ch) })
	}
	all.Wait()
}

// queryCollector queries the database. If the query fails, its gauges are absent, because an old or zero value would look valid.
type queryCollector struct {
	query  func(context.Context) ([]prometheus.Metric, error)
	descs  []*prometheus.Desc
	failed prometheus.Counter
}

func newQueryCollector(
	failedName, failedHelp string, query func(context.Context) ([]prometheus.Metric, error), descs ...*prometheus.Desc,
) *queryCollector {
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: failedName, Help: failedHelp})
	return &queryCollector{query: query, descs: descs, failed: failed}
}

// Describe implements prometheus.Collector.
func (q *queryCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range q.descs {
		ch <- desc
	}
	q.failed.Describe(ch)
}

// Collect implements prometheus.Collector.
func (q *queryCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	metrics, err := q.query(ctx)
	if err != nil {
		q.failed.Inc()
		metrics = nil
	}
	for _, metric := range metrics {
		ch <- metric
	}
	q.failed.Collect(ch)
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}
