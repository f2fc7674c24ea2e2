package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
	"user-service/pkg/event"
	"user-service/pkg/factor"
	"user-service/pkg/httpapi"
	"user-service/pkg/outbox"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/pwned"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
	"user-service/pkg/token"
	"user-service/pkg/user"
	"user-service/pkg/workload"
)

// hashWait is the longest wait for a slot. It is short enough for a response within 2 seconds.
const hashWait = time.Second

// service has all components of serve.
type service struct {
	cfg       config.Config
	log       *slog.Logger
	db        *postgres.DB
	publisher *rabbitmq.Publisher
	relay     *outbox.Relay
	cleaner   *postgres.Cleaner
	users     *user.Service
	api       *httpapi.API
	health    *httpapi.Health
	metrics   *telemetry.Metrics

	tokens      *token.Tokens
	workloads   *workload.Verifier // nil if WORKLOAD_ISSUER is not set
	dataKeys    *factor.Keys
	watcher     *config.Watcher
	stopTracing func(context.Context) error
}

// newService creates all components. It works while the database and the broker are unavailable. If hashing is nil, passwords are hashed in
// this process.
func newService(ctx context.Context, cfg config.Config, log *slog.Logger, hashing *password.Process) (*service, error) {
	s := &service{cfg: cfg, log: log, metrics: telemetry.NewMetrics(version, eventTypes(), postgres.CleanedTables())}
	var err error
	s.db, err = postgres.Open(ctx, postgres.Config{
		URL: cfg.Database.URL.Reveal(), MaxConns: cfg.Database.MaxConns, MinConns: cfg.Database.MaxConns / 2, Observer: s.metrics,
	}, func() { s.relay.Wake() })
	if err != nil {
		return nil, usageError{fmt.Errorf("DATABASE_URL: %w", err)}
	}
	s.publisher = rabbitmq.New(brokerOf(cfg.RabbitMQ), rabbitmq.Config{Log: log, Observer: s.metrics})
	s.relay = outbox.New(s.db, s.publisher, outbox.Config{Log: log, Observer: s.metrics})
	if s.dataKeys, err = factor.NewKeys(cfg.DataKeys.Key.Reveal(), cfg.DataKeys.Accepted.Reveal()); err != nil {
		return nil, usageError{fmt.Errorf("DATA_KEY, DATA_ACCEPTED_KEYS: %w", err)}
	}
	s.cleaner = &postgres.Cleaner{
		DB: s.db, AuditRetention: cfg.Accounts.AuditRetention, DataKeys: s.dataKeys, Observer: s.metrics, Log: log,
	}

	hashConfig := newHashConfig(cfg.Passwords)
	hashConfig.Observer = s.metrics
	hashConfig.Process = hashing
	hasher, err := password.NewHasher(hashConfig)
	if err != nil {
		return nil, err
	}
	s.tokens, err = token.New(token.Config{
		Keys: tokenKeys(cfg.Tokens), Issuer: cfg.Tokens.Issuer, Audience: cfg.Tokens.Audience,
		ClientID: cfg.Tokens.ClientID, AccessTTL: cfg.Tokens.AccessTTL,
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("JWT_SECRET, JWT_PRIVATE_KEY, JWT_ACCEPTED_KEYS: %w", err)}
	}
	relyingParty, err := factor.NewRelyingParty(cfg.WebAuthn.RPID, factor.Issuer(cfg.Tokens.Issuer), cfg.WebAuthn.List())
	if err != nil {
		return nil, usageError{fmt.Errorf("WEBAUTHN_RP_ID, WEBAUTHN_ORIGINS: %w", err)}
	}
	s.users = s.newUsers(hasher, relyingParty)
	s.watcher = s.newWatcher(envconfig.OsLookuper(), 0)

	required, err := postgres.RequiredSchema()
	if err != nil {
		return nil, err
	}
	s.health = httpapi.NewHealth(s.log, s.checks(required)...)
	s.api = httpapi.New(httpapi.Config{
		DocsEnabled: cfg.HTTP.DocsEnabled, TrustedProxies: cfg.HTTP.TrustedProxies,
		RateLimitPerMinute: cfg.HTTP.RateLimitPerMinute, AccountRateLimitPerMinute: cfg.HTTP.AccountRateLimitPerMinute,
		Issuer: cfg.Tokens.Issuer,
	}, s.users, s.health, s.metrics, log)
	s.watchMetrics(hasher, hashing, required)
	return s, nil
}

func (s *service) newUsers(hasher *password.Hasher, relyingParty *factor.RelyingParty) *user.Service {
	return user.New(user.Config{
		RegistrationEnabled:  s.cfg.Accounts.RegistrationEnabled,
		VerifyAtRegistration: s.cfg.Accounts.VerifyEmailAtRegistration,
		MaxFailures:          s.cfg.Accounts.LoginMaxFailures,
		Passwords:            password.Policy{MinLength: s.cfg.Passwords.MinLength},
		Workloads:            s.newWorkloads(),
		Breaches:             newBreaches(s.cfg.Passwords, pwned.Config{Log: s.log, Observer: s.metrics}),
		RefreshIdleTTL:       s.cfg.Tokens.RefreshIdleTTL,
		RefreshTTL:           s.cfg.Tokens.RefreshTTL,
		DataKeys:             s.dataKeys,
		RelyingParty:         relyingParty,
		Issuer:               s.cfg.Tokens.Issuer,
		Log:                  s.log,
		Observer:             s.metrics,
	}, s.db, hasher, s.tokens)
}

// watchMetrics adds the metrics that are read at each scrape. hashing is nil if passwords are hashed in this process.
func (s *service) watchMetrics(hasher *password.Hasher, hashing *password.Process, required int64) {
	var process func() (int, error)
	if hashing != nil {
		process = hashing.PID
	}
	s.metrics.Watch(telemetry.Sources{
		HashProcess: process,
		HashRunning: hasher.Running, HashWaiting: hasher.Waiting, HashLimit: s.cfg.Passwords.HashConcurrency,
		BodyBytes: s.api.BodyBytes, Pool: s.poolStats,
		Ready: s.health.Ready, Certificates: newCertificates(s.cfg).expiries,
		Outbox: s.db.OutboxBacklog, Parked: s.db.ParkedCounts, Schema: s.db.SchemaVersion, SchemaRequired: required, Keys: s.keys,
	})
}

// newBreaches returns nil if PWNED_PASSWORDS_URL is not set.
func newBreaches(cfg config.Passwords, client pwned.Config) user.Breaches {
	if cfg.PwnedURL == "" {
		return nil
	}
	client.URL, client.Agent = cfg.PwnedURL, "user-service/"+version
	return pwned.New(client)
}

// newWorkloads creates the verifier of workloads. It returns nil if WORKLOAD_ISSUER is not set.
func (s *service) newWorkloads() user.Workloads {
	cfg := s.cfg.Workloads
	if cfg.Issuer == "" {
		return nil
	}
	roles, _ := cfg.RolesBySubject() // config.Load has checked them
	s.workloads = workload.New(workload.Config{
		Issuer: cfg.Issuer, Audience: cfg.Audience, JWKSURL: cfg.JWKSURL, CAFile: cfg.CAFile, TokenFile: cfg.TokenFile,
		Roles: roles, Log: s.log, Observer: s.metrics,
	})
	return s.workloads
}

// newHashConfig returns the parameters and limits of the configuration.
func newHashConfig(cfg config.Passwords) password.Config {
	return password.Config{
		Params: password.Params{MemoryKiB: cfg.MemoryKiB, Iterations: cfg.Iterations, Parallelism: cfg.Parallelism},
		Limits: password.Limits{Concurrency: cfg.HashConcurrency, Queue: cfg.HashQueue, MaxWait: hashWait},
	}
}

// checks returns the readiness checks. Their errors are public.
func (s *service) checks(required int64) []httpapi.Check {
	return []httpapi.Check{
		{Name: "database", Run: func(ctx context.Context) error {
			if s.db.Ping(ctx) != nil {
				return errDatabaseDown
			}
			return publicError(s.db.CheckSetup(ctx))
		}},
		{Name: "schema", Run: func(ctx context.Context) error {
			found, err := s.db.SchemaVersion(ctx)
			if err != nil {
				return fmt.Errorf("unknown: %w", publicError(err))
			}
			return checkSchema(found, required)
		}},
		{Name: "password_costs", Run: s.users.CheckCosts},             // fails for a limited time only
		{Name: "rabbitmq", Run: s.publisher.Check, NonCritical: true}, // events wait in the outbox
	}
}

var errDatabaseDown = errors.New("the database does not answer")

// publicError returns an error that may be shown to anonymous callers.
func publicError(err error) error {
	if err == nil || errors.As(err, new(postgres.SetupError)) {
		return err
	}
	return errDatabaseDown
}

func checkSchema(found, required int64) error {
	if found < required {
		return fmt.Errorf("version %d is below %d; run user-service migrate up", found, required)
	}
	return nil
}

func (s *service) poolStats() telemetry.PoolStats {
	stat := s.db.Stat()
	return telemetry.PoolStats{
		Idle: stat.IdleConns(), Used: stat.AcquiredConns(), Max: stat.MaxConns(),
		Acquired: stat.AcquireCount(), AcquireTime: stat.AcquireDuration(), Canceled: stat.CanceledAcquireCount(),
	}
}

// keys returns the current keys, and since when each is in use.
func (s *service) keys(ctx context.Context) ([]telemetry.Key, error) {
	inForce := s.tokens.KeysInForce()
	ids := make([]string, len(inForce))
	for i, k := range inForce {
		ids[i] = k.ID
	}
	since, err := s.db.KeysSince(ctx, ids)
	out := make([]telemetry.Key, len(inForce))
	for i, k := range inForce {
		out[i] = telemetry.Key{ID: k.ID, Algorithm: k.Algorithm, Signs: k.Signs, Since: since[k.ID]}
	}
	return out, err
}

func eventTypes() []string {
	var out []string
	for _, t := range event.Types() {
		out = append(out, string(t))
	}
	return out
}
