package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
	"user-service/pkg/password"
)

// names returns the names of the variables that have a problem in err.
func names(t *testing.T, err error) []string {
	t.Helper()
	var problems *config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("the error is %v and not *config.Problems", err)
	}
	var out []string
	for _, p := range problems.List {
		out = append(out, p.Name)
	}
	return out
}

func TestAnEmptyEnvironmentListsAllThatIsRequired(t *testing.T) {
	t.Parallel()
	_, err := load(t, nil)
	want := "6 problems with the environment:"
	for _, problem := range []string{
		"DATABASE_URL: is not set; set it to a PostgreSQL URL such as postgres://user:password@host:5432/database",
		"RABBITMQ_HOST: is not set; set it to a host name or an IP address, such as localhost",
		"RABBITMQ_PORT: is not set; set it to a whole number from 1 to 65535, such as 5672",
		"RABBITMQ_USER: is not set; set it to a user name, such as guest",
		"RABBITMQ_PASS: is not set; set it to the password of RABBITMQ_USER",
		"JWT_SECRET: is not set; set it to a random text of at least 32 bytes, as made by: openssl rand -base64 48",
	} {
		name, _, _ := strings.Cut(problem, ":")
		want += "\n  " + problem + "; or set " + name + "_FILE to the path of a file with the value"
	}
	if err == nil {
		t.Fatal("an empty environment is accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("the message differs (-want +got):\n%s", diff)
	}
}

func TestAllProblemsAreListedTogether(t *testing.T) {
	t.Parallel()
	_, err := load(t, with(map[string]string{
		"DATABASE_URL": "", "RABBITMQ_PORT": "70000", "JWT_SECRET": "short", "ACCESS_TOKEN_TTL": "15 minutes",
		"PASSWORD_MIN_LENGTH": "7", "DOCS_ENABLED": "maybe", "LOG_LEVEL": "loud",
	}))
	want := []string{
		"DATABASE_URL", "RABBITMQ_PORT", "JWT_SECRET", "ACCESS_TOKEN_TTL", "PASSWORD_MIN_LENGTH", "DOCS_ENABLED", "LOG_LEVEL",
	}
	if diff := cmp.Diff(want, names(t, err)); diff != "" {
		t.Errorf("the problems differ (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(err.Error(), "7 problems with the environment:\n") {
		t.Errorf("the first line does not have the number: %s", err)
	}
}

// badValues are invalid values, each with a part of the expected message.
var badValues = []struct {
	name, value string
	want        string // a part of the message
}{
	{"DATABASE_URL", "mysql://db/app", "is not a PostgreSQL URL"},
	{"DATABASE_URL", "postgres://app:p%@db/app", "has a character that must be percent-encoded"},
	{"DATABASE_URL", "db", "is not a PostgreSQL URL"},
	{"MIGRATION_DATABASE_URL", "db", "is not a PostgreSQL URL"},
	{"DATABASE_MAX_CONNS", "1", "the relay of events needs another one"},
	{"DATABASE_MAX_CONNS", "-1", "is out of range; set it to 0 or a whole number from 2 to 10000, such as 20"},
	{"DATABASE_MAX_CONNS", "10001", "is out of range"},
	{"DATABASE_MAX_CONNS", "99999999999", "can't be parsed"},
	{"RABBITMQ_HOST", "amqp://broker", "is not a host name or an IP address; set it to a host name or an IP address, such as localhost"},
	{"RABBITMQ_HOST", "broker:5672", "is not a host name or an IP address"},
	{"RABBITMQ_HOST", "broker\n", "is not a host name or an IP address"},
	{"RABBITMQ_PORT", "0", "is out of range; set it to a whole number from 1 to 65535, such as 5672"},
	{"RABBITMQ_PORT", "tcp://10.0.0.1:5672", "can't be parsed; set it to a whole number from 1 to 65535, such as 5672"},
	{"RABBITMQ_TLS", "perhaps", "can't be parsed; set it to true or false, such as false"},
	{"JWT_SECRET", "0123456789012345678901234567890", "has 31 bytes and needs at least 32"},
	{"JWT_SECRET", strings.Repeat("a", 40), "repeats one text and is easy to guess; set it to a random text of at least 32 bytes, " +
		"as made by: openssl rand -base64 48; or set JWT_SECRET_FILE"},
	{"JWT_SECRET", strings.Repeat("0", 32), "repeats one text"},
	{"JWT_SECRET", strings.Repeat("password", 4), "repeats one text"},
	{"JWT_SECRET", strings.Repeat("0123456789abcdef", 3)[:37], "repeats one text"},
	{"JWT_SECRET", "aabbccddeeffggffeeddccbbaaabacadaeafag", "has only 7 distinct bytes and is easy to guess"},
	{"JWT_SECRET", "abcdefghijklmnopqrstuvwxyz0123456789", "is a sequence of characters and is easy to guess"},
	{"JWT_SECRET", "ZYXWVUTSRQPONMLKJIHGFEDCBA-987654321", "is a sequence of characters"},
	{"JWT_SECRET", "a-string-secret-at-least-256-bits-long", "is a published example"},
	{"JWT_SECRET", "for-local-development-only-0123456789", "is a published example"},
	{"JWT_ACCEPTED_SECRETS", planted + "," + strings.Repeat("password", 4), "has a secret that repeats one text"},
	{"DATABASE_URL", "postgres://db/app?default_query_exec_mode=simple_protocol", "has default_query_exec_mode=simple_protocol, " +
		"which sends personal data in the text of queries"},
	{"MIGRATION_DATABASE_URL", "postgres://db/app?default_query_exec_mode=simple_protocol", "has default_query_exec_mode=simple_protocol"},
	{
		"DATABASE_URL", "postgres://app:p@ssw0rd-" + planted + "@127.0.0.1:5432/app",
		"has an @ in its host; write an @ of the password as %40",
	},
	{"DATABASE_URL", "postgres://app:4711/" + planted + "@db.example:5432/users", "has a database name with @ / or : in it"},
	{"DATABASE_URL", "host=p@db user=app", "has an @ in its host"},
	{"DATABASE_URL", "postgres://app:x@db,p@other/app", "has an @ in its host"},
	{"DATABASE_URL", "postgres://app:x@db/app?sslmode=verify-full&sslrootcert=/no/ca.crt", "has a file in sslrootcert that can't be read"},
	{"DATABASE_URL", "host=db sslmode=verify-ca sslrootcert=/nowhere/ca.crt", "has a file in sslrootcert that can't be read"},
	{"MIGRATION_DATABASE_URL", "postgres://app:x@db/app?sslcert=/no/a&sslkey=/no/b", "has a file in sslcert that can't be read"},
	{"DATABASE_URL", "postgres://app:x@db/app?gssencmode=disable", "has the parameter gssencmode, which only libpq supports; remove it"},
	{"DATABASE_URL", "postgres://app:x@db/app?keepalives=1", "has the parameter keepalives"},
	{"DATABASE_URL", "postgres://app:planted@db:notaport/app", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "postgres://app:planted@db:65536/app", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "postgres://app:planted@db:0/app", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "postgres://app:planted@db:5432,other:x/app", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "postgres://app@db/app?port=planted", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "host=db port=planted", "has a port that is not a number from 1 to 65535"},
	{"DATABASE_URL", "postgres://app:p%planted@db/app", "has a character that must be percent-encoded, such as % in the password (%25)"},
	{"DATABASE_URL", "postgres://app:pla nted@db/app name", "has a character that must be percent-encoded"},
	{"DATABASE_URL", "postgres://app:x@db/app?sslmode=planted", "has a value of the parameter sslmode that can't be used"},
	{"DATABASE_URL", "postgres://app:x@db/app?connect_timeout=planted", "has a value of the parameter connect_timeout that can't be used"},
	{"DATABASE_URL", "postgres://app:x@db/app?pool_max_conns=planted", "has a value of the parameter pool_max_conns that can't be used"},
	{
		"DATABASE_URL", "postgres://app:x@db/app?target_session_attrs=planted",
		"has a value of the parameter target_session_attrs that can't be used",
	},
	{"DATABASE_URL", "host=db sslmode=planted", "has a value of the parameter sslmode that can't be used"},
	{
		"DATABASE_URL", "postgres://app:x@db/app?sslmode=verify-full&sslrootcert=database.go",
		"has a file in sslrootcert that holds no certificate or key of the expected form",
	},
	{
		"DATABASE_URL", "postgres://app:x@db/app?sslmode=verify-full&sslcert=database.go&sslkey=database.go",
		"has files in sslcert and sslkey that are not a certificate and its key",
	},
	{"DATABASE_URL", "app:planted@db/users", "is not a PostgreSQL URL"},
	{"DATABASE_URL", "postgres://app:pl@anted?wo=rd@db/users", "percent-encode special characters of the password"},
	{"RABBITMQ_CA_FILE", "/nowhere/ca.crt", "is set, and RABBITMQ_TLS is false"},
	{"JWT_ACCEPTED_SECRETS", planted + ",short", "has a secret that has 5 bytes and needs at least 32; " +
		"set it to random texts of at least 32 bytes, separated by commas"},
	{"ACCESS_TOKEN_TTL", "15", "can't be parsed; set it to a duration of at least 1s, such as 15m"},
	{"ACCESS_TOKEN_TTL", "0s", "is out of range"},
	{"REFRESH_TOKEN_IDLE_TTL", "-1h", "is out of range"},
	{"REFRESH_TOKEN_IDLE_TTL", "2161h", "is longer than REFRESH_TOKEN_TTL"},
	{"REFRESH_TOKEN_TTL", "30d", "can't be parsed"},
	{"PASSWORD_MIN_LENGTH", "7", "is out of range; set it to a whole number from 8 to 128, such as 15"},
	{"PASSWORD_MIN_LENGTH", "129", "is out of range"},
	{"PASSWORD_HASH_CONCURRENCY", "-1", "is out of range"},
	{"PASSWORD_HASH_QUEUE", "-1", "is out of range"},
	{"ARGON2_MEMORY_KIB", "7", "is out of range; set it to a whole number from 8 to 524288, such as 19456"},
	{"ARGON2_ITERATIONS", "0", "is out of range"},
	{"ARGON2_PARALLELISM", "0", "is out of range"},
	{"ARGON2_PARALLELISM", "300", "can't be parsed; set it to a whole number from 1 to 64, such as 1"},
	{"REGISTRATION_ENABLED", "on", "can't be parsed"},
	{"HTTP_ADDR", "8080", "is not an address; set it to an address, host:port or :port, such as :8080"},
	{"HTTP_ADDR", ":65536", "is not an address"},
	{"METRICS_ADDR", "localhost:http", "is not an address"},
	{"METRICS_ADDR", ":8080", "is the same as HTTP_ADDR"},
	{"TRUSTED_PROXIES", "proxy", "can't be parsed; set it to IP addresses and CIDRs, separated by commas, such as 10.0.0.0/8,fd00::/8"},
	{"TRUSTED_PROXIES", "10.0.0.1,", "can't be parsed"},
	{"TRUSTED_PROXIES", "10.0.0.0/33", "can't be parsed"},
	{"TRUSTED_PROXIES", "fe80::1%eth0", "can't be parsed"},
	{"ACCOUNT_RATE_LIMIT_PER_MINUTE", "many", "can't be parsed; set it to a whole number from 0 to 1000000, such as 300"},
	{"RATE_LIMIT_PER_MINUTE", "-1", "is out of range; set it to a whole number from 0 to 1000000, such as 60"},
	{"SHUTDOWN_DELAY", "-1s", "is out of range; set it to a duration of at least 0s, such as 5s"},
	{"SHUTDOWN_TIMEOUT", "5s", "is not longer than SHUTDOWN_DELAY"},
	{"PWNED_PASSWORDS_URL", "https://pwned.example.com/", "that ends in /range/; set it to an https URL that ends in /range/"},
	{"PWNED_PASSWORDS_URL", "http://pwned.example.com/range/", "is not an https URL (http is valid for localhost)"},
	{"MAIL_FROM", "Shop", "is not an address; set it to an address with or without a name"},
	{"MAIL_FROM", "Shop <a@example..com>", "is not an address"},
	{"MAIL_LINKS_BASE_URL", "http://shop.example.com", "is not an https URL (http is valid for localhost)"},
	{"MAIL_LINKS_BASE_URL", "https://shop.example.com/", "slash at the end"},
	{"MAIL_LINKS_BASE_URL", "https://shop.example.com#top", "fragment"},
	{"MAIL_LINKS_BASE_URL", "shop.example.com", "is not an https URL"},
	{"MAIL_PRODUCT_NAME", "a\nb", "is not one line"},
	{"MAIL_TEMPLATES_DIR", "/nowhere", "is not a directory that can be read"},
	{"LOG_LEVEL", "loud", "can't be parsed; set it to debug, info, warn or error, such as info"},
	{"LOG_LEVEL", "info+1", "is not a level; set it to debug, info, warn or error, such as info"},
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	for _, test := range badValues {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, with(map[string]string{test.name: test.value}))
			if diff := cmp.Diff([]string{test.name}, names(t, err)); diff != "" {
				t.Fatalf("the problems differ (-want +got):\n%s", diff)
			}
			if want := "1 problem with the environment:\n  " + test.name + ": "; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q does not begin with %q", err, want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q does not contain %q", err, test.want)
			}
			for _, part := range []string{
				"planted", "anted", "ssw0rd", "4711", "database.go", "/nowhere", "/no/",
				"notaport", "65536/", "wo=rd",
			} {
				if strings.Contains(test.value, part) && strings.Contains(err.Error(), part) {
					t.Errorf("%q contains %q of the value", err, part)
				}
			}
		})
	}
}

func TestCallersCanValidateSecrets(t *testing.T) {
	t.Parallel()
	validate := func(value string) error {
		if value == "bad" {
			return errors.New("is not a key")
		}
		return nil
	}
	checks := []config.Check{{Name: "JWT_PRIVATE_KEY", Validate: validate}, {Name: "JWT_SECRET", Validate: validate}}
	load := func(changes map[string]string) error {
		return config.Load(envconfig.MapLookuper(with(changes)), &config.Config{}, checks...)
	}
	err := load(map[string]string{"JWT_PRIVATE_KEY": "bad", "JWT_SECRET": "bad", "RABBITMQ_PORT": "0"})
	want := []string{"RABBITMQ_PORT", "JWT_SECRET", "JWT_PRIVATE_KEY"}
	if diff := cmp.Diff(want, names(t, err)); diff != "" {
		t.Errorf("the problems differ (-want +got):\n%s", diff)
	}
	if want := "JWT_PRIVATE_KEY: is not a key; set it to a private key in PEM"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not contain %q", err, want)
	}
	if want := "JWT_SECRET: has 3 bytes"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not contain %q", err, want)
	}
	if err := load(map[string]string{"JWT_PRIVATE_KEY": "good"}); err != nil {
		t.Error(err)
	}
	if err := load(nil); err != nil {
		t.Errorf("a secret that is not set is validated: %v", err)
	}
}

func TestArgon2MemoryIsEnoughForEachLane(t *testing.T) {
	t.Parallel()
	_, err := load(t, with(map[string]string{"ARGON2_MEMORY_KIB": "31", "ARGON2_PARALLELISM": "4"}))
	if want := "ARGON2_MEMORY_KIB: is less than 32, which ARGON2_PARALLELISM requires"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not contain %q", err, want)
	}
	mustLoad(t, with(map[string]string{"ARGON2_MEMORY_KIB": "32", "ARGON2_PARALLELISM": "4"}))
}

// TestSettingsThatPreventRegistrationAreRefused loads several costs of hashes, and compares the results with the limits of package
// password. Both packages must refuse the same costs.
func TestSettingsThatPreventRegistrationAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		memory, iterations uint32
		refused            bool
	}{{65536, 8, false}, {65536, 9, true}, {65536, 64, true}, {524288, 1, false}, {262144, 3, true}, {8192, 64, false}} {
		_, err := load(t, with(map[string]string{"ARGON2_MEMORY_KIB": fmt.Sprint(c.memory), "ARGON2_ITERATIONS": fmt.Sprint(c.iterations)}))
		want := "ARGON2_ITERATIONS: times ARGON2_MEMORY_KIB is more than 524288 KiB, which would exceed the time of a request"
		if refused := err != nil && strings.Contains(err.Error(), want); refused != c.refused {
			t.Errorf("%d KiB and %d iterations: %v, want refused: %t", c.memory, c.iterations, err, c.refused)
		}
		_, err = password.NewHasher(password.Config{
			Params: password.Params{MemoryKiB: c.memory, Iterations: c.iterations, Parallelism: 1},
			Limits: password.Limits{Concurrency: 1, MaxWait: time.Second},
		})
		if refused := err != nil; refused != c.refused {
			t.Errorf("%d KiB and %d iterations: package password returns %v, want refused: %t", c.memory, c.iterations, err, c.refused)
		}
	}
}

// TestAnUnreadableCertificateOfTheEnvironmentIsNamed sets the path of a certificate in the environment, as the chart does.
func TestAnUnreadableCertificateOfTheEnvironmentIsNamed(t *testing.T) {
	t.Setenv("PGSSLROOTCERT", "/no/ca.crt")
	_, err := load(t, with(map[string]string{"DATABASE_URL": "postgres://app:x@db/app?sslmode=verify-full"}))
	if err == nil || !strings.Contains(err.Error(), "has a file in sslrootcert that can't be read") {
		t.Errorf("the problem is %v", err)
	}
}
