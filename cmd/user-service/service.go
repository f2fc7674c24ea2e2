package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"user-service/pkg/config"
	"user-service/pkg/event"
	"user-service/pkg/httpapi"
	"user-service/pkg/outbox"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

// hashWait is how long a password waits for its turn to be hashed: short enough that
// the whole request is answered within 2 seconds.
const hashWait = time.Second

// service is the program, wired together.
type service struct {
	cfg       config.Config
	log       *slog.Logger
	db        *postgres.DB
	publisher *rabbitmq.Publisher
	relay     *outbox.Relay
	api       *httpapi.API
	health    *httpapi.Health
	metrics   *telemetry.Metrics
}

// newService wires everything together. It needs neither database nor broker to be there.
func newService(ctx context.Context, cfg config.Config, log *slog.Logger) (*service, error) {
	s := &service{cfg: cfg, log: log, metrics: telemetry.NewMetrics(version, eventTypes())}
	var err error
	s.db, err = postgres.Open(ctx, postgres.Config{URL: cfg.Database.URL.Reveal(), MaxConns: cfg.Database.MaxConns},
		func() { s.relay.Wake() })
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	s.publisher = rabbitmq.New(brokerConfig(cfg.RabbitMQ), log, s.metrics)
	s.relay = outbox.New(s.db, s.publisher, s.metrics, log)

	hasher, err := newHasher(cfg.Passwords, s.metrics)
	if err != nil {
		return nil, err
	}
	tokens, err := token.New(token.Config{
		Keys: token.Keys{Secret: cfg.Tokens.Secret.Reveal()}, Issuer: cfg.Tokens.Issuer, Audience: cfg.Tokens.Audience, AccessTTL: cfg.Tokens.AccessTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("JWT_SECRET: %w", err)
	}
	users := user.New(user.Config{
		RegistrationEnabled: cfg.Accounts.RegistrationEnabled,
		Passwords:           password.Policy{MinLength: cfg.Passwords.MinLength},
		RefreshIdleTTL:      cfg.Tokens.RefreshIdleTTL,
		RefreshTTL:          cfg.Tokens.RefreshTTL,
	}, s.db, hasher, tokens)

	required, err := postgres.RequiredSchema()
	if err != nil {
		return nil, err
	}
	s.health = httpapi.NewHealth(s.checks(required)...)
	s.api = httpapi.New(httpapi.Config{DocsEnabled: cfg.HTTP.DocsEnabled}, users, s.health, s.metrics, log)
	s.metrics.Watch(telemetry.Sources{
		HashRunning: hasher.Running, HashWaiting: hasher.Waiting, Pool: s.poolStats,
		Outbox: s.db.OutboxBacklog, Schema: s.db.SchemaVersion, SchemaRequired: required,
	})
	return s, nil
}

func newHasher(cfg config.Passwords, o password.Observer) (*password.Hasher, error) {
	return password.NewHasher(
		password.Params{MemoryKiB: cfg.MemoryKiB, Iterations: cfg.Iterations, Parallelism: cfg.Parallelism},
		password.Limits{Concurrency: cfg.HashConcurrency, Queue: cfg.HashQueue, MaxWait: hashWait}, o)
}

// checks are what readiness looks at. Their errors are shown to anybody.
func (s *service) checks(required int64) []httpapi.Check {
	return []httpapi.Check{
		{Name: "database", Run: func(ctx context.Context) error {
			if s.db.Ping(ctx) != nil {
				return errors.New("the database does not answer")
			}
			return nil
		}},
		{Name: "schema", Run: func(ctx context.Context) error {
			found, err := s.db.SchemaVersion(ctx)
			if err != nil {
				return errors.New("unknown: the database does not answer")
			}
			if found < required {
				return fmt.Errorf("version %d is below %d; run user-service migrate up", found, required)
			}
			return nil
		}},
		{Name: "rabbitmq", Run: s.publisher.Check, Informs: true}, // the outbox holds while the broker is away
	}
}

func (s *service) poolStats() telemetry.PoolStats {
	stat := s.db.Stat()
	return telemetry.PoolStats{
		Idle: stat.IdleConns(), Used: stat.AcquiredConns(), Max: stat.MaxConns(),
		Acquired: stat.AcquireCount(), AcquireTime: stat.AcquireDuration(), Canceled: stat.CanceledAcquireCount(),
	}
}

func eventTypes() []string {
	var out []string
	for _, t := range event.Types() {
		out = append(out, string(t))
	}
	return out
}
