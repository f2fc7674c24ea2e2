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
	URL          Secret `env:"DATABASE_URL, required" is:"a PostgreSQL URL such as postgres://user:password@host:5432/database" example:"postgres://user_service:user_service@localhost:5432/user_service?sslmode=disable" desc:"Where the data is."`
	MaxConns     int32  `env:"DATABASE_MAX_CONNS, default=0" min:"0" max:"10000" is:"0 or a whole number from 2 to 10000" example:"20" desc:"Connections that one replica holds at most, beside one for readiness; from 3 on, a quarter is for logins alone; 0: four for each CPU, at least 4 and at most 64."`
	MigrationURL Secret `env:"MIGRATION_DATABASE_URL" is:"a PostgreSQL URL such as postgres://owner:password@host:5432/database" desc:"The same database as migrations reach it: directly, and with the right to change the schema; not set: DATABASE_URL."`
}

// RabbitMQ says where the broker is.
type RabbitMQ struct {
	Host     string `env:"RABBITMQ_HOST, required" file:"also" is:"a host name or an IP address" example:"localhost" desc:"The broker's host."`
	Port     int    `env:"RABBITMQ_PORT, required" file:"also" min:"1" max:"65535" example:"5672" desc:"The broker's AMQP port."`
	User     string `env:"RABBITMQ_USER, required" file:"also" is:"a user name" example:"guest" desc:"The user that the service connects as."`
	Password Secret `env:"RABBITMQ_PASS, required" is:"the password of RABBITMQ_USER" example:"guest" desc:"The password that the service connects with."`
	Vhost    string `env:"RABBITMQ_VHOST, default=/" is:"a virtual host" desc:"The broker's virtual host."`
	TLS      bool   `env:"RABBITMQ_TLS, default=false" desc:"Connect with TLS, and verify the broker's certificate."`
	CAFile   string `env:"RABBITMQ_CA_FILE" example:"/etc/rabbitmq/ca.crt" is:"the path of a file with certificates in PEM" desc:"Who vouches for the broker's certificate, in place of the system's roots. It is read again at each connection, as the next two are."`
	CertFile string `env:"RABBITMQ_CERT_FILE" example:"/etc/rabbitmq/tls.crt" is:"the path of a file with a certificate in PEM" desc:"The client certificate that the broker asks for."`
	KeyFile  string `env:"RABBITMQ_KEY_FILE" example:"/etc/rabbitmq/tls.key" is:"the path of a file with a private key in PEM" desc:"The key of RABBITMQ_CERT_FILE."`
}

// Tokens says how tokens are made and how long they are good for.
type Tokens struct {
	Secret          Secret        `env:"JWT_SECRET, required" is:"a random text of at least 32 bytes, as made by: openssl rand -base64 48" desc:"The key that signs tokens: refresh tokens, and access tokens where JWT_PRIVATE_KEY does not."`
	AcceptedSecrets Secret        `env:"JWT_ACCEPTED_SECRETS" empty:"always" is:"random texts of at least 32 bytes, separated by commas" desc:"Secrets whose tokens are good too: the one before and the one after JWT_SECRET, so that a change refuses no token."`
	PrivateKey      Secret        `env:"JWT_PRIVATE_KEY" empty:"at start" is:"a private key in PEM: Ed25519, P-256 or RSA of at least 2048 bits, as made by: openssl genpkey -algorithm ed25519; its lines may end in \\n" desc:"The key that signs access tokens, by EdDSA, ES256 or RS256; its public half is at /.well-known/jwks.json."`
	AcceptedKeys    Secret        `env:"JWT_ACCEPTED_KEYS" empty:"always" is:"public or private keys in PEM, one after the other, of the kinds of JWT_PRIVATE_KEY" desc:"Keys whose access tokens are good too, and that are published as well: the one before and the one after JWT_PRIVATE_KEY."`
	Issuer          string        `env:"JWT_ISSUER, default=user-service" is:"a name or a URL" desc:"The claim iss of access tokens."`
	Audience        string        `env:"JWT_AUDIENCE, default=user-service" is:"a name or a URL" desc:"The claim aud of access tokens."`
	ClientID        string        `env:"JWT_CLIENT_ID, default=user-service" is:"a name or a URL" desc:"The claim client_id of access tokens (RFC 9068)."`
	AccessTTL       time.Duration `env:"ACCESS_TOKEN_TTL, default=15m" min:"1s" desc:"How long an access token is good for."`
	RefreshIdleTTL  time.Duration `env:"REFRESH_TOKEN_IDLE_TTL, default=720h" min:"1s" desc:"A session that is not refreshed for so long ends."`
	RefreshTTL      time.Duration `env:"REFRESH_TOKEN_TTL, default=2160h" min:"1s" desc:"A session ends after so long, refreshed or not."`
}

// Passwords says what a good password is, and what hashing one may cost.
type Passwords struct {
	MinLength       int    `env:"PASSWORD_MIN_LENGTH, default=15" min:"8" max:"128" desc:"Fewest characters of a password."`
	HashConcurrency int    `env:"PASSWORD_HASH_CONCURRENCY, default=0" min:"0" max:"1024" example:"2" desc:"Passwords hashed at the same time; 0: one for each CPU."`
	HashQueue       int    `env:"PASSWORD_HASH_QUEUE, default=0" min:"0" max:"100000" example:"16" desc:"Passwords that may wait to be hashed, past which requests get 503; 0: 32 for each one hashed at the same time."`
	MemoryKiB       uint32 `env:"ARGON2_MEMORY_KIB, default=19456" min:"8" max:"524288" desc:"Memory of one argon2id hash, in KiB; times ARGON2_ITERATIONS at most 524288."`
	Iterations      uint32 `env:"ARGON2_ITERATIONS, default=2" min:"1" max:"64" desc:"Passes of argon2id over that memory."`
	Parallelism     uint8  `env:"ARGON2_PARALLELISM, default=1" min:"1" max:"64" desc:"Lanes of argon2id."`
}

// Accounts says who may have an account, and what is kept of what they do.
type Accounts struct {
	RegistrationEnabled       bool          `env:"REGISTRATION_ENABLED, default=true" desc:"Let anyone register."`
	VerifyEmailAtRegistration bool          `env:"VERIFY_EMAIL_AT_REGISTRATION, default=true" desc:"Send a token that verifies the email of each account that somebody registers, in an event, at once."`
	LoginMaxFailures          int           `env:"LOGIN_MAX_FAILURES, default=5" min:"0" max:"1000" desc:"Failed logins in a row with one email from one network (IPv4 /24, IPv6 /56) after which the next ones from there must back off, from 1 to 15 minutes; 0: never. Behind a proxy it needs TRUSTED_PROXIES, or all clients are one network."`
	AuditRetention            time.Duration `env:"AUDIT_RETENTION, default=9600h" min:"1h" desc:"How long the audit trail is kept."`
}

// HTTP says where the service answers, whom, and how it stops.
type HTTP struct {
	Addr                      string        `env:"HTTP_ADDR, default=:8080" is:"an address, host:port or :port" desc:"Address of the API."`
	MetricsAddr               string        `env:"METRICS_ADDR, default=:9090" is:"an address, host:port or :port" desc:"Address of /metrics, /healthz and /readyz."`
	TrustedProxies            Networks      `env:"TRUSTED_PROXIES" is:"IP addresses and CIDRs, separated by commas" example:"10.0.0.0/8,fd00::/8" desc:"The proxies in front of the service: their X-Forwarded-For says where a request comes from, and their traceparent which trace it belongs to; nobody else's does. Not set: the client is whoever connects."`
	RateLimitPerMinute        int           `env:"RATE_LIMIT_PER_MINUTE, default=60" min:"0" max:"1000000" desc:"How often one client address (IPv6: one /64) may call the endpoints that ask for no token and cost something, such as /login, at each replica; an IPv4 /24 and an IPv6 /56 4 times, an IPv6 /48 16 times as often; 0: as often as it likes. Behind a proxy it needs TRUSTED_PROXIES, or all clients share one limit."`
	AccountRateLimitPerMinute int           `env:"ACCOUNT_RATE_LIMIT_PER_MINUTE, default=300" min:"0" max:"1000000" desc:"How many requests that change something one account may send, at each replica; one that has a password hashed counts as ten; 0: any number."`
	DocsEnabled               bool          `env:"DOCS_ENABLED, default=true" desc:"Serve /openapi.json and /docs."`
	PprofEnabled              bool          `env:"PPROF_ENABLED, default=false" desc:"Serve /debug/pprof/ on METRICS_ADDR."`
	ShutdownDelay             time.Duration `env:"SHUTDOWN_DELAY, default=5s" min:"0s" desc:"How long to serve on after SIGTERM, not ready, until no more requests are sent here."`
	ShutdownTimeout           time.Duration `env:"SHUTDOWN_TIMEOUT, default=25s" min:"1s" desc:"How long the whole shutdown may take, SHUTDOWN_DELAY included."`
}

// Log says what is logged.
type Log struct {
	Level slog.Level `env:"LOG_LEVEL, default=info" desc:"The least severe level that is logged."`
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
