package config_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
)

// planted is a part of every secret in the tests, so that the tests can check that no secret is printed.
const planted = "correct-horse-battery-staple-0123456789"

// required returns an environment with only the required variables.
func required() map[string]string {
	return map[string]string{
		"DATABASE_URL":  "postgres://app:" + planted + "@db:5432/app",
		"RABBITMQ_HOST": "rabbitmq",
		"RABBITMQ_PORT": "5672",
		"RABBITMQ_USER": "app",
		"RABBITMQ_PASS": planted,
		"JWT_SECRET":    planted,
	}
}

// with returns the environment of required with changes. An empty value means that a variable is not set.
func with(changes map[string]string) map[string]string {
	env := required()
	for name, value := range changes {
		env[name] = value
	}
	return env
}

func load(t *testing.T, env map[string]string) (config.Config, error) {
	t.Helper()
	var cfg config.Config
	err := config.Load(envconfig.MapLookuper(env), &cfg)
	return cfg, err
}

func mustLoad(t *testing.T, env map[string]string) config.Config {
	t.Helper()
	cfg, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// file writes content to a new file and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cpus := runtime.GOMAXPROCS(0)
	want := config.Config{
		Database: config.Database{URL: "postgres://app:" + planted + "@db:5432/app", MaxConns: int32(min(max(4, 4*cpus), 64))},
		RabbitMQ: config.RabbitMQ{Host: "rabbitmq", Port: 5672, User: "app", Password: planted, Vhost: "/"},
		Tokens: config.Tokens{
			Secret: planted, Issuer: "user-service", Audience: "user-service", ClientID: "user-service",
			AccessTTL: 15 * time.Minute, RefreshIdleTTL: 30 * 24 * time.Hour, RefreshTTL: 90 * 24 * time.Hour,
		},
		Workloads: config.Workloads{Audience: "user-service"},
		Passwords: config.Passwords{
			MinLength: 15, HashConcurrency: cpus, HashQueue: 32 * cpus, MemoryKiB: 19456, Iterations: 2, Parallelism: 1,
		},
		Accounts: config.Accounts{
			RegistrationEnabled: true, VerifyEmailAtRegistration: true, LoginMaxFailures: 5, AuditRetention: 9600 * time.Hour,
		},
		HTTP: config.HTTP{
			Addr: ":8080", MetricsAddr: ":9090", RateLimitPerMinute: 60, AccountRateLimitPerMinute: 300, DocsEnabled: true,
			ShutdownDelay: 5 * time.Second, ShutdownTimeout: 25 * time.Second,
		},
	}
	if diff := cmp.Diff(want, mustLoad(t, required())); diff != "" {
		t.Errorf("the defaults differ (-want +got):\n%s", diff)
	}
}

func TestEveryVariableIsLoaded(t *testing.T) {
	t.Parallel()
	set := map[string]string{
		"DATABASE_URL": "host=db user=app password=" + planted, "DATABASE_MAX_CONNS": "7", "MIGRATION_DATABASE_URL": "postgresql:///app",
		"RABBITMQ_HOST": "::1", "RABBITMQ_PORT": "5671", "RABBITMQ_USER": "u", "RABBITMQ_PASS": "p",
		"RABBITMQ_VHOST": "v", "RABBITMQ_TLS": "true",
		"RABBITMQ_CA_FILE": "/dev/null", "RABBITMQ_CERT_FILE": "/dev/null", "RABBITMQ_KEY_FILE": "/dev/null",
		"JWT_SECRET": planted, "JWT_ACCEPTED_SECRETS": planted, "JWT_PRIVATE_KEY": "k", "JWT_ACCEPTED_KEYS": "k",
		"DATA_KEY": newDataKey(), "DATA_ACCEPTED_KEYS": newDataKey() + "," + newDataKey(),
		"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://example.com,https://a.example.com:8443",
		"JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_CLIENT_ID": "c",
		"WORKLOAD_ISSUER": "https://issuer.example", "WORKLOAD_AUDIENCE": "b", "WORKLOAD_JWKS_URL": "https://issuer.example/keys",
		"WORKLOAD_CA_FILE": "/dev/null", "WORKLOAD_TOKEN_FILE": "/dev/null", "WORKLOAD_ROLES": "shop/orders=reader",
		"ACCESS_TOKEN_TTL": "1m30s", "REFRESH_TOKEN_IDLE_TTL": "1h30m", "REFRESH_TOKEN_TTL": "2h",
		"PASSWORD_MIN_LENGTH": "8", "PWNED_PASSWORDS_URL": "http://localhost/range/",
		"PASSWORD_HASH_CONCURRENCY": "3", "PASSWORD_HASH_QUEUE": "5",
		"ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1", "ARGON2_PARALLELISM": "2",
		"REGISTRATION_ENABLED": "false", "VERIFY_EMAIL_AT_REGISTRATION": "false", "LOGIN_MAX_FAILURES": "3",
		"AUDIT_RETENTION": "1h", "HTTP_ADDR": "127.0.0.1:0", "METRICS_ADDR": "127.0.0.1:0",
		"TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1,fd00::/8", "RATE_LIMIT_PER_MINUTE": "0", "ACCOUNT_RATE_LIMIT_PER_MINUTE": "7",
		"DOCS_ENABLED": "false", "PPROF_ENABLED": "true", "SHUTDOWN_DELAY": "0s", "SHUTDOWN_TIMEOUT": "1s", "LOG_LEVEL": "debug",
		"SMTP_URL": "smtp://mail", "MAIL_FROM": "Shop <a@example.com>", "MAIL_LINKS_BASE_URL": "https://example.com/shop",
		"MAIL_PRODUCT_NAME": "Shop", "MAIL_TEMPLATES_DIR": "/",
	}
	cfg := mustLoad(t, set)
	env := envconfig.MapLookuper(set)
	for _, v := range config.Values(env, &cfg) {
		want := set[v.Name]
		if v.Value == "[hidden]" {
			want = v.Value
		}
		if v.Value != want || v.Source != config.FromEnvironment {
			t.Errorf("%s is %q from the %s, want %q from the environment", v.Name, v.Value, v.Source, want)
		}
	}
	if got := cfg.Database.Migrations(); got != "postgresql:///app" {
		t.Errorf("migrations use %q, want MIGRATION_DATABASE_URL", got.Reveal())
	}
}

func TestMigrationsUseTheDatabaseByDefault(t *testing.T) {
	t.Parallel()
	if cfg := mustLoad(t, required()); cfg.Database.Migrations() != cfg.Database.URL {
		t.Error("without MIGRATION_DATABASE_URL migrations do not use DATABASE_URL")
	}
}

func TestAnEmptyVariableIsNotSet(t *testing.T) {
	t.Parallel()
	env := required()
	for _, v := range config.Describe(&config.Config{}) {
		if !v.Required {
			env[v.Name] = ""
		}
		if v.Secret {
			env[v.FileName()] = ""
		}
	}
	if diff := cmp.Diff(mustLoad(t, required()), mustLoad(t, env)); diff != "" {
		t.Errorf("empty variables change the configuration (-unset +empty):\n%s", diff)
	}
}

func TestACommandLoadsOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	broker := map[string]string{"RABBITMQ_HOST": "h", "RABBITMQ_PORT": "1", "RABBITMQ_USER": "u", "RABBITMQ_PASS": "p"}
	t.Run("one group", func(t *testing.T) {
		t.Parallel()
		var group config.RabbitMQ
		if err := config.Load(envconfig.MapLookuper(broker), &group); err != nil {
			t.Error(err)
		}
		if want := (config.RabbitMQ{Host: "h", Port: 1, User: "u", Password: "p", Vhost: "/"}); group != want {
			t.Errorf("loaded %+v", group)
		}
	})
	t.Run("some groups", func(t *testing.T) {
		t.Parallel()
		var groups struct {
			config.RabbitMQ
			Rest struct{ Log config.Log }
		}
		broker := map[string]string{"LOG_LEVEL": "loud"}
		err := config.Load(envconfig.MapLookuper(broker), &groups)
		want := []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS", "LOG_LEVEL"}
		if diff := cmp.Diff(want, names(t, err)); diff != "" {
			t.Errorf("the problems differ (-want +got):\n%s", diff)
		}
	})
}

func TestOnlyTheMailerRequiresAMailServer(t *testing.T) {
	t.Parallel()
	mustLoad(t, required())
	env := with(map[string]string{"JWT_SECRET": ""})
	err := config.Load(envconfig.MapLookuper(env), &config.Mailer{})
	want := []string{"SMTP_URL", "MAIL_FROM", "MAIL_LINKS_BASE_URL"}
	if diff := cmp.Diff(want, names(t, err)); diff != "" {
		t.Errorf("the problems of the mailer differ (-want +got):\n%s", diff)
	}
	env["SMTP_URL"], env["MAIL_FROM"], env["MAIL_LINKS_BASE_URL"] = "smtp://mail", "shop@example.com", "http://localhost:3000"
	if err := config.Load(envconfig.MapLookuper(env), &config.Mailer{}); err != nil {
		t.Error(err)
	}
}

// TestDatabasesOfOtherPlatforms loads valid connection strings of several platforms: for example a user name with an @, parameters of the
// server, and several hosts.
func TestDatabasesOfOtherPlatforms(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://app%40server:" + planted + "@db.example:5432/users?sslmode=require",
		"postgres://app:a%40b%2Fc@db.example/users?tcp_user_timeout=5000",
		"postgres://app:x@db-0:5432,db-1:5432/users?target_session_attrs=read-write",
		"host=/var/run/postgresql user=app dbname=users",
		"postgres://app:x@[::1]:5432/users",
	} {
		set := required()
		set["DATABASE_URL"] = dsn
		mustLoad(t, set)
	}
}
