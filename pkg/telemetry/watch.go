package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Sources are called at each scrape, so that the metrics are current. They are called concurrently.
type Sources struct {
	HashRunning func() int64                // Running hashes.
	HashWaiting func() int64                // Hashes that wait for a slot.
	HashLimit   int                         // Maximum number of running hashes.
	HashProcess func() (pid int, err error) // The hashing process. nil: none.
	BodyBytes   func() int64                // Bytes of request bodies that count towards their limit.
	Pool        func() PoolStats            // The pool of database connections.

	// Ready returns the results of the checks that decide readiness.
	Ready func(context.Context) map[string]bool
	// Certificates returns when the certificates in files expire, by use.
	Certificates func() map[string]time.Time
	// Outbox queries the number of waiting events, and the age of the oldest.
	Outbox func(context.Context) (pending int64, oldest time.Duration, err error)
	// Parked queries the number of parked events by type.
	Parked func(context.Context) (map[string]int64, error)
	// Schema queries the version of the schema.
	Schema func(context.Context) (version int64, err error)
	// Keys queries since when each token key is in use.
	Keys func(context.Context) ([]Key, error)
	// SchemaRequired is the minimum version of the schema for this build.
	SchemaRequired int64
}

// Key is a token key.
type Key struct {
	ID, Algorithm string
	Signs         bool // otherwise it is only accepted
	Since         time.Time
}

// Watch adds the metrics of the sources. Call it once.
func (m *Metrics) Watch(s Sources) {
	factory := promauto.With(m.registry)
	if s.HashProcess != nil {
		m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{
			PidFn: s.HashProcess, Namespace: "user_service_hashing",
		}))
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "user_service_password_hash_running",
		Help: "Passwords being hashed.",
	}, func() float64 { return float64(s.HashRunning()) })
	factory.NewGauge(prometheus.GaugeOpts{
		Name: "user_service_password_hash_limit",
		Help: "Maximum number of passwords being hashed, which is PASSWORD_HASH_CONCURRENCY.",
	}).Set(float64(s.HashLimit))
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "user_service_password_hash_queued",
		Help: "Passwords in the hashing queue.",
	}, func() float64 { return float64(s.HashWaiting()) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "user_service_request_body_bytes",
		Help: "Bytes of request bodies being received, without the first 4096 bytes of each body; at most 8388608.",
	}, func() float64 { return float64(s.BodyBytes()) })
	factory.NewGauge(prometheus.GaugeOpts{
		Name: "user_service_schema_version_required",
		Help: "Minimum version of the database schema for this build.",
	}).Set(float64(s.SchemaRequired))
	m.registry.MustRegister(newReadyCollector(s.Ready), newCertificateCollector(s.Certificates), databaseCollector{
		pool:    newPoolCollector(s.Pool),
		queries: []*queryCollector{outboxCollector(s, m.outbox.types), schemaCollector(s), keyCollector(s)},
	})
}
