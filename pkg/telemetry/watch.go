package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Sources are asked at each scrape, so that what they say is never old. They are called from
// several goroutines at the same time.
type Sources struct {
	HashRunning func() int64                // passwords that are being hashed
	HashWaiting func() int64                // passwords that wait for their turn to be hashed
	HashProcess func() (pid int, err error) // the process that hashes, nil if there is none
	BodyBytes   func() int64                // bytes of request bodies that count in their bound
	Pool        func() PoolStats            // the pool of database connections

	// Outbox asks the database how many events wait to be published, and for how long the oldest
	// has waited. It has to end when its context does.
	Outbox func(context.Context) (pending int64, oldest time.Duration, err error)
	// Parked asks the database how many events of each type are parked. It has to end when its context does.
	Parked func(context.Context) (map[string]int64, error)
	// Schema asks the database for the version of its schema. It has to end when its context does.
	Schema func(context.Context) (version int64, err error)
	// Keys asks the database since when each key of tokens is in use. It has to end when its context does.
	Keys func(context.Context) ([]Key, error)
	// SchemaRequired is the least version of the schema that this build needs.
	SchemaRequired int64
}

// Key is one of the keys of tokens.
type Key struct {
	ID, Algorithm string
	Signs         bool // else it is accepted only
	Since         time.Time
}

// Watch adds what the sources say to the metrics. To be called once.
func (m *Metrics) Watch(s Sources) {
	factory := promauto.With(m.registry)
	if s.HashProcess != nil {
		m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{PidFn: s.HashProcess, Namespace: "user_service_hashing"}))
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "user_service_password_hash_running",
		Help: "Passwords being hashed.",
	}, func() float64 { return float64(s.HashRunning()) })
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
	m.registry.MustRegister(databaseCollector{newPoolCollector(s.Pool), []*question{outboxQuestion(s, m.outbox.types), schemaQuestion(s), keyQuestion(s)}})
}
