// Package config reads the environment into structs, and reports all problems together.
//
// The tags of a field and the entry of its variable in descriptions define the variable for the loader, the messages and the
// documentation. The tags are:
//
//	env      the name, then "required", "required by COMMAND" or "default=…". COMMAND is the tag command of the group's own field.
//	min, max the bounds of a number or a duration, both inclusive
//	file     "also": a value that is not a secret may also come from a file, like a secret
//	empty    when the file of a secret may be empty, which means not set: "at start", or "always", also while the service runs
package config

import (
	"log/slog"
	"runtime"
	"strings"
	"time"
)

// Config has all settings. A command that needs only some settings loads a struct with only these groups.
type Config struct {
	Database  Database
	RabbitMQ  RabbitMQ
	Tokens    Tokens
	Workloads Workloads
	DataKeys  DataKeys
	WebAuthn  WebAuthn
	Passwords Passwords
	Accounts  Accounts
	HTTP      HTTP
	Mail      Mail
	Log       Log
}

// Mailer has the settings of the command mail.
type Mailer struct {
	Database Database
	RabbitMQ RabbitMQ
	HTTP     HTTP
	Mail     Mail `command:"mail"`
	Log      Log
}

// Database configures the connections to PostgreSQL.
type Database struct {
	URL          Secret `env:"DATABASE_URL, required"`
	MaxConns     int32  `env:"DATABASE_MAX_CONNS, default=0" min:"0" max:"10000"`
	MigrationURL Secret `env:"MIGRATION_DATABASE_URL"`
}

// RabbitMQ configures the connection to the broker.
type RabbitMQ struct {
	Host     string `env:"RABBITMQ_HOST, required" file:"also"`
	Port     int    `env:"RABBITMQ_PORT, required" file:"also" min:"1" max:"65535"`
	User     string `env:"RABBITMQ_USER, required" file:"also"`
	Password Secret `env:"RABBITMQ_PASS, required"`
	Vhost    string `env:"RABBITMQ_VHOST, default=/"`
	TLS      bool   `env:"RABBITMQ_TLS, default=false"`
	CAFile   string `env:"RABBITMQ_CA_FILE"`
	CertFile string `env:"RABBITMQ_CERT_FILE"`
	KeyFile  string `env:"RABBITMQ_KEY_FILE"`
}

// Tokens configures the keys, claims and lifetimes of tokens.
type Tokens struct {
	Secret          Secret        `env:"JWT_SECRET, required"`
	AcceptedSecrets Secret        `env:"JWT_ACCEPTED_SECRETS" empty:"always"`
	PrivateKey      Secret        `env:"JWT_PRIVATE_KEY" empty:"at start"`
	AcceptedKeys    Secret        `env:"JWT_ACCEPTED_KEYS" empty:"always"`
	Issuer          string        `env:"JWT_ISSUER, default=user-service"`
	Audience        string        `env:"JWT_AUDIENCE, default=user-service"`
	ClientID        string        `env:"JWT_CLIENT_ID, default=user-service"`
	AccessTTL       time.Duration `env:"ACCESS_TOKEN_TTL, default=15m" min:"1s"`
	RefreshIdleTTL  time.Duration `env:"REFRESH_TOKEN_IDLE_TTL, default=720h" min:"1s"`
	RefreshTTL      time.Duration `env:"REFRESH_TOKEN_TTL, default=2160h" min:"1s"`
}

// Workloads configures the tokens of callers that are services.
type Workloads struct {
	Issuer    string `env:"WORKLOAD_ISSUER"`
	Audience  string `env:"WORKLOAD_AUDIENCE, default=user-service"`
	JWKSURL   string `env:"WORKLOAD_JWKS_URL"`
	CAFile    string `env:"WORKLOAD_CA_FILE"`
	TokenFile string `env:"WORKLOAD_TOKEN_FILE"`
	Roles     string `env:"WORKLOAD_ROLES"`
}

// DataKeys configures the keys that encrypt the secrets of second factors.
type DataKeys struct {
	Key      Secret `env:"DATA_KEY" empty:"at start"`
	Accepted Secret `env:"DATA_ACCEPTED_KEYS" empty:"always"`
}

// WebAuthn configures passkeys.
type WebAuthn struct {
	RPID    string `env:"WEBAUTHN_RP_ID"`
	Origins string `env:"WEBAUTHN_ORIGINS"`
}

// Passwords configures the password policy and the cost of hashing.
type Passwords struct {
	MinLength       int    `env:"PASSWORD_MIN_LENGTH, default=15" min:"8" max:"128"`
	PwnedURL        string `env:"PWNED_PASSWORDS_URL"`
	HashConcurrency int    `env:"PASSWORD_HASH_CONCURRENCY, default=0" min:"0" max:"1024"`
	HashQueue       int    `env:"PASSWORD_HASH_QUEUE, default=0" min:"0" max:"100000"`
	MemoryKiB       uint32 `env:"ARGON2_MEMORY_KIB, default=19456" min:"8" max:"524288"`
	Iterations      uint32 `env:"ARGON2_ITERATIONS, default=2" min:"1" max:"64"`
	Parallelism     uint8  `env:"ARGON2_PARALLELISM, default=1" min:"1" max:"64"`
}

// Accounts configures registration, the backoff after login failures, and the retention of the audit trail.
type Accounts struct {
	RegistrationEnabled       bool          `env:"REGISTRATION_ENABLED, default=true"`
	VerifyEmailAtRegistration bool          `env:"VERIFY_EMAIL_AT_REGISTRATION, default=true"`
	LoginMaxFailures          int           `env:"LOGIN_MAX_FAILURES, default=5" min:"0" max:"1000"`
	AuditRetention            time.Duration `env:"AUDIT_RETENTION, default=9600h" min:"1h"`
}

// HTTP configures the servers, their limits, and the shutdown.
type HTTP struct {
	Addr                      string        `env:"HTTP_ADDR, default=:8080"`
	MetricsAddr               string        `env:"METRICS_ADDR, default=:9090"`
	TrustedProxies            Networks      `env:"TRUSTED_PROXIES"`
	RateLimitPerMinute        int           `env:"RATE_LIMIT_PER_MINUTE, default=60" min:"0" max:"1000000"`
	AccountRateLimitPerMinute int           `env:"ACCOUNT_RATE_LIMIT_PER_MINUTE, default=300" min:"0" max:"1000000"`
	DocsEnabled               bool          `env:"DOCS_ENABLED, default=true"`
	PprofEnabled              bool          `env:"PPROF_ENABLED, default=false"`
	ShutdownDelay             time.Duration `env:"SHUTDOWN_DELAY, default=5s" min:"0s"`
	ShutdownTimeout           time.Duration `env:"SHUTDOWN_TIMEOUT, default=25s" min:"1s"`
}

// Mail configures the command mail.
type Mail struct {
	URL          Secret `env:"SMTP_URL, required by mail"`
	From         string `env:"MAIL_FROM, required by mail"`
	LinksBaseURL string `env:"MAIL_LINKS_BASE_URL, required by mail"`
	ProductName  string `env:"MAIL_PRODUCT_NAME"`
	TemplatesDir string `env:"MAIL_TEMPLATES_DIR"`
}

// Log configures logging.
type Log struct {
	Level slog.Level `env:"LOG_LEVEL, default=info"`
}

// Migrations returns the URL for migrations.
func (d Database) Migrations() Secret {
	if d.MigrationURL != "" {
		return d.MigrationURL
	}
	return d.URL
}

// List returns the origins, without empty entries.
func (w WebAuthn) List() (origins []string) {
	for entry := range strings.SplitSeq(w.Origins, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			origins = append(origins, entry)
		}
	}
	return origins
}

// Accepted returns the accepted secrets. Empty entries are ignored. An entry with spaces around it is returned twice, without and with
// the spaces, because the spaces may belong to the secret.
func (t Tokens) Accepted() []string {
	var list []string
	for entry := range strings.SplitSeq(t.AcceptedSecrets.Reveal(), ",") {
		secret := strings.TrimSpace(entry)
		if secret == "" {
			continue
		}
		list = append(list, secret)
		if entry != secret {
			list = append(list, entry)
		}
	}
	return list
}

// derive sets the default that depends on the number of CPUs. The maximum of 64 is for large machines: one replica must not use most of
// the 100 connections that PostgreSQL allows by default.
func (d *Database) derive() {
	if d.MaxConns == 0 {
		d.MaxConns = int32(min(max(4, 4*runtime.GOMAXPROCS(0)), 64))
	}
}

func (p *Passwords) derive() {
	if p.HashConcurrency == 0 {
		p.HashConcurrency = runtime.GOMAXPROCS(0)
	}
	if p.HashQueue == 0 {
		p.HashQueue = 32 * p.HashConcurrency
	}
}
