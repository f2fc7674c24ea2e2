// Package config turns the environment into structs, one for each concern, and says
// everything that is wrong with it at once.
//
// The tags of a field are all there is to know about its variable: the loader, the messages
// and the documentation are made of them.
//
//	env      name, then "required" or "default=…", as go-envconfig reads it
//	desc     what it is for, a sentence
//	min, max the bounds of a number or a duration, both included
//	is       what a value has to be, where type and bounds don't say it
//	example  a value for .env.example and for messages; the default stands in for it. A secret that is to be
//	         random has none: what is published would be used
//	file     "also": a value that is not a secret may come from a file too, which is read again as those of secrets are
//	empty    when the file of a secret may be empty, which is the same as not set: "at start", or
//	         "always", and then the value may also be taken away while the service runs
package config

import (
	"log/slog"
	"runtime"
	"strings"
	"time"
)

// Config is everything that can be set. A command that needs less loads a struct of
// the groups that it needs.
type Config struct {
	Database  Database
	RabbitMQ  RabbitMQ
	Tokens    Tokens
	Passwords Passwords
	Accounts  Accounts
	HTTP      HTTP
	Log       Log
}

// Database says where PostgreSQL is.
type Database struct {
	URL          Secret `env:"DATABASE_URL, required" is:"a PostgreSQL URL such as postgres://user:password@host:5432/database" example:"postgres://user_service:user_service@localhost:5432/user_service?sslmode=disable" desc:"URL of the database."`
	MaxConns     int32  `env:"DATABASE_MAX_CONNS, default=0" min:"0" max:"10000" is:"0 or a whole number from 2 to 10000" example:"20" desc:"Maximum number of connections of one replica, in addition to one for readiness. From 3 on, a quarter is reserved for logins. 0 means four for each CPU, from 4 to 64."`
	MigrationURL Secret `env:"MIGRATION_DATABASE_URL" is:"a PostgreSQL URL such as postgres://owner:password@host:5432/database" desc:"URL of the same database for migrations: direct, without a pooler, and with the right to change the schema. Default: DATABASE_URL."`
}

// RabbitMQ says where the broker is.
type RabbitMQ struct {
	Host     string `env:"RABBITMQ_HOST, required" file:"also" is:"a host name or an IP address" example:"localhost" desc:"Host of the broker."`
	Port     int    `env:"RABBITMQ_PORT, required" file:"also" min:"1" max:"65535" example:"5672" desc:"AMQP port of the broker."`
	User     string `env:"RABBITMQ_USER, required" file:"also" is:"a user name" example:"guest" desc:"User name of the service at the broker."`
	Password Secret `env:"RABBITMQ_PASS, required" is:"the password of RABBITMQ_USER" example:"guest" desc:"Password of the service at the broker."`
	Vhost    string `env:"RABBITMQ_VHOST, default=/" is:"a virtual host" desc:"Virtual host at the broker."`
	TLS      bool   `env:"RABBITMQ_TLS, default=false" desc:"Connect with TLS, and verify the broker's certificate."`
	CAFile   string `env:"RABBITMQ_CA_FILE" example:"/etc/rabbitmq/ca.crt" is:"the path of a file with certificates in PEM" desc:"Certificate authorities for the broker's certificate, instead of the system's. The service reads this file and the next two at each connection."`
	CertFile string `env:"RABBITMQ_CERT_FILE" example:"/etc/rabbitmq/tls.crt" is:"the path of a file with a certificate in PEM" desc:"Client certificate for the broker."`
	KeyFile  string `env:"RABBITMQ_KEY_FILE" example:"/etc/rabbitmq/tls.key" is:"the path of a file with a private key in PEM" desc:"Private key of RABBITMQ_CERT_FILE."`
}

// Tokens says how tokens are made and how long they are good for.
type Tokens struct {
	Secret          Secret        `env:"JWT_SECRET, required" is:"a random text of at least 32 bytes, as made by: openssl rand -base64 48" desc:"Secret that signs refresh tokens, and access tokens if JWT_PRIVATE_KEY is not set."`
	AcceptedSecrets Secret        `env:"JWT_ACCEPTED_SECRETS" empty:"always" is:"random texts of at least 32 bytes, separated by commas" desc:"Further secrets whose tokens are accepted: the previous and the next JWT_SECRET, so that a rotation rejects no token."`
	PrivateKey      Secret        `env:"JWT_PRIVATE_KEY" empty:"at start" is:"a private key in PEM: Ed25519, P-256 or RSA of at least 2048 bits, as made by: openssl genpkey -algorithm ed25519; its lines may end in \\n" desc:"Key that signs access tokens, by EdDSA, ES256 or RS256. /.well-known/jwks.json publishes its public key."`
	AcceptedKeys    Secret        `env:"JWT_ACCEPTED_KEYS" empty:"always" is:"public or private keys in PEM, one after the other, of the kinds of JWT_PRIVATE_KEY" desc:"Further keys whose access tokens are accepted, and which are published: the previous and the next JWT_PRIVATE_KEY."`
	Issuer          string        `env:"JWT_ISSUER, default=user-service" is:"a name or a URL" desc:"Claim iss of access tokens."`
	Audience        string        `env:"JWT_AUDIENCE, default=user-service" is:"a name or a URL" desc:"Claim aud of access tokens."`
	ClientID        string        `env:"JWT_CLIENT_ID, default=user-service" is:"a name or a URL" desc:"Claim client_id of access tokens (RFC 9068)."`
	AccessTTL       time.Duration `env:"ACCESS_TOKEN_TTL, default=15m" min:"1s" desc:"Lifetime of an access token."`
	RefreshIdleTTL  time.Duration `env:"REFRESH_TOKEN_IDLE_TTL, default=720h" min:"1s" desc:"A session ends after this time without a refresh."`
	RefreshTTL      time.Duration `env:"REFRESH_TOKEN_TTL, default=2160h" min:"1s" desc:"A session ends after this time, with or without refreshes."`
}

// Passwords says what a good password is, and what hashing one may cost.
type Passwords struct {
	MinLength       int    `env:"PASSWORD_MIN_LENGTH, default=15" min:"8" max:"128" desc:"Minimum number of characters of a password."`
	HashConcurrency int    `env:"PASSWORD_HASH_CONCURRENCY, default=0" min:"0" max:"1024" example:"2" desc:"Maximum number of concurrent password hashes. 0 means one for each CPU."`
	HashQueue       int    `env:"PASSWORD_HASH_QUEUE, default=0" min:"0" max:"100000" example:"16" desc:"Maximum number of passwords that wait to be hashed; further requests get 503. 0 means 32 for each concurrent hash."`
	MemoryKiB       uint32 `env:"ARGON2_MEMORY_KIB, default=19456" min:"8" max:"524288" desc:"Memory of one argon2id hash, in KiB. Times ARGON2_ITERATIONS, it must be at most 524288."`
	Iterations      uint32 `env:"ARGON2_ITERATIONS, default=2" min:"1" max:"64" desc:"Passes of argon2id over that memory."`
	Parallelism     uint8  `env:"ARGON2_PARALLELISM, default=1" min:"1" max:"64" desc:"Lanes of argon2id."`
}

// Accounts says who may have an account, and what is kept of what they do.
type Accounts struct {
	RegistrationEnabled       bool          `env:"REGISTRATION_ENABLED, default=true" desc:"Allow anonymous callers to register."`
	VerifyEmailAtRegistration bool          `env:"VERIFY_EMAIL_AT_REGISTRATION, default=true" desc:"At registration, send an event with a token that verifies the email."`
	LoginMaxFailures          int           `env:"LOGIN_MAX_FAILURES, default=5" min:"0" max:"1000" desc:"Consecutive failed logins with one email from one network (IPv4 /24, IPv6 /56) before a backoff of 1 to 15 minutes begins. 0 turns the backoff off. Behind a proxy, set TRUSTED_PROXIES, or all clients count as one network."`
	AuditRetention            time.Duration `env:"AUDIT_RETENTION, default=9600h" min:"1h" desc:"Retention time of the audit trail."`
}

// HTTP says where the service answers, whom, and how it stops.
type HTTP struct {
	Addr                      string        `env:"HTTP_ADDR, default=:8080" is:"an address, host:port or :port" desc:"Address of the API."`
	MetricsAddr               string        `env:"METRICS_ADDR, default=:9090" is:"an address, host:port or :port" desc:"Address of /metrics, /healthz and /readyz."`
	TrustedProxies            Networks      `env:"TRUSTED_PROXIES" is:"IP addresses and CIDRs, separated by commas" example:"10.0.0.0/8,fd00::/8" desc:"Proxies in front of the service. Only their X-Forwarded-For (the client's address) and traceparent (the trace) are trusted. Without proxies, the client's address is the peer's."`
	RateLimitPerMinute        int           `env:"RATE_LIMIT_PER_MINUTE, default=60" min:"0" max:"1000000" desc:"Requests per minute of one client address (IPv6: one /64) to costly endpoints without a token, such as /login, at each replica. An IPv4 /24 and an IPv6 /56 may send 4 times as many, an IPv6 /48 16 times. 0 turns the limit off. Behind a proxy, set TRUSTED_PROXIES, or all clients share one limit."`
	AccountRateLimitPerMinute int           `env:"ACCOUNT_RATE_LIMIT_PER_MINUTE, default=300" min:"0" max:"1000000" desc:"Writing requests per minute of one account, at each replica. A request that hashes a password counts as ten. 0 turns the limit off."`
	DocsEnabled               bool          `env:"DOCS_ENABLED, default=true" desc:"Serve /openapi.json and /docs."`
	PprofEnabled              bool          `env:"PPROF_ENABLED, default=false" desc:"Serve /debug/pprof/ on METRICS_ADDR."`
	ShutdownDelay             time.Duration `env:"SHUTDOWN_DELAY, default=5s" min:"0s" desc:"After SIGTERM, how long to keep serving while not ready, so that load balancers stop sending requests."`
	ShutdownTimeout           time.Duration `env:"SHUTDOWN_TIMEOUT, default=25s" min:"1s" desc:"Maximum time of the whole shutdown, including SHUTDOWN_DELAY."`
}

// Log says what is logged.
type Log struct {
	Level slog.Level `env:"LOG_LEVEL, default=info" desc:"Least severe level that is logged."`
}

// Migrations returns where migrations reach the database.
func (d Database) Migrations() Secret {
	if d.MigrationURL != "" {
		return d.MigrationURL
	}
	return d.URL
}

// Accepted returns the accepted secrets one by one. Nothing between two commas is a matter of writing. Blanks
// around a secret may be one too, or belong to it, as to a JWT_SECRET: it is accepted both ways.
func (t Tokens) Accepted() []string {
	var list []string
	for written := range strings.SplitSeq(t.AcceptedSecrets.Reveal(), ",") {
		secret := strings.TrimSpace(written)
		if secret == "" {
			continue
		}
		list = append(list, secret)
		if written != secret {
			list = append(list, written)
		}
	}
	return list
}

// derive puts in force what depends on the machine. The upper bound keeps one replica on a
// large machine from taking most of the 100 connections that PostgreSQL allows by default.
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
