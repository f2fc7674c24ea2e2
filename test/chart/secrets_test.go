package chart_test

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// randomSecret returns a random value, so that no file of the repository contains it.
func randomSecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	return hex.EncodeToString(random)
}

// mailing are the values that the mailer requires, without its Secrets.
const mailing = "mailer.enabled=true,mailer.from=shop@example.com,mailer.linksBaseURL=https://shop.example.com," +
	"networkPolicy.smtpTo[0].ipBlock.cidr=192.0.2.0/24"

// secretValues are all values of the chart's Secrets, with ? for the secret part, and the values that they require.
var secretValues = []struct {
	name, fixed string
	secrets     []string
	objects     int
}{
	{"by value", "rabbitmq.host=mq.example.com,rabbitmq.user=app,mailer.rabbitmq.user=mailer," + mailing, []string{
		"database.url=postgres://app:?@db.example.com/app", "rabbitmq.password=?",
		"jwt.secret=?", "jwt.acceptedSecrets=?", "admin.email=?@example.com",
		"mailer.rabbitmq.password=?", "mailer.smtp.url=smtp://mailer:?@smtp.example.com",
	}, 6},
	{"quickstart", "quickstart.enabled=true," + mailing, []string{
		"quickstart.postgresql.password=?", "quickstart.rabbitmq.password=?", "jwt.secret=?", "admin.email=?@example.com",
		"mailer.smtp.url=smtp://mailer:?@smtp.example.com",
	}, 5},
}

// More people can read names, annotations and arguments than Secrets. Even a hash in one of these lets an attacker test guesses.
// So a different secret must change only Secrets, and so must a different email of the first admin.
func TestOnlySecretsDependOnSecretValues(t *testing.T) {
	t.Parallel()
	for _, values := range secretValues {
		t.Run(values.name, func(t *testing.T) {
			t.Parallel()
			secretsAndRest := func() (secrets, others []string) {
				args := []string{"--set", policies + values.fixed}
				for _, value := range values.secrets {
					args = append(args, "--set-string", strings.ReplaceAll(value, "?", randomSecret()))
				}
				return splitSecrets(t, renderInCluster(t, args...))
			}
			firstSecrets, first := secretsAndRest()
			secondSecrets, second := secretsAndRest()
			if len(first) == 0 || !slices.Equal(first, second) {
				t.Errorf("with other secrets, objects that are not Secrets differ:\n%s\nand\n%s",
					strings.Join(first, "---\n"), strings.Join(second, "---\n"))
			}
			if slices.Equal(firstSecrets, secondSecrets) || len(firstSecrets) != values.objects {
				t.Errorf("the %d Secrets do not contain the secrets", len(firstSecrets))
			}
			if names(t, firstSecrets) != names(t, secondSecrets) {
				t.Error("the names or annotations of the Secrets depend on their content")
			}
		})
	}
}

func splitSecrets(t *testing.T, stream string) (secrets, others []string) {
	t.Helper()
	for _, document := range documents(t, []byte(stream)) {
		if parse[struct{ Kind string }](t, document).Kind == "Secret" {
			secrets = append(secrets, string(document))
		} else {
			others = append(others, string(document))
		}
	}
	return secrets, others
}

// names returns everything of the Secrets except their content.
func names(t *testing.T, secrets []string) string {
	t.Helper()
	var all strings.Builder
	for _, document := range secrets {
		secret := decodes(t, []byte(document)).(*corev1.Secret)
		secret.Data, secret.StringData = nil, nil
		all.WriteString(secret.String())
	}
	return all.String()
}

// serviceSecret matches the variables that pkg/config declares as secrets.
var serviceSecret = regexp.MustCompile("\\bSecret\\s+`env:\"([A-Z0-9_]+)")

// A pod's description shows its environment. So config must not contain a secret of the service, and extraEnv must not contain the
// value of such a secret.
func TestConfigRefusesEverySecretOfTheService(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("pkg/config/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in pkg/config", err)
	}
	secrets := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range serviceSecret.FindAllStringSubmatch(string(text), -1) {
			secrets[match[1]] = true
		}
	}
	if !secrets["JWT_SECRET"] || !secrets["DATABASE_URL"] {
		t.Fatalf("the secrets of pkg/config are %v, want JWT_SECRET and DATABASE_URL among them", secrets)
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		refuses(t, "config."+name+"=postgres://u:p@h/d", "config."+name)
		refuses(t, "extraEnv[0].name="+name+",extraEnv[0].value=postgres://u:p@h/d", "extraEnv has")
		refuses(t, mailer+"mailer.config."+name+"=postgres://u:p@h/d", "mailer.config."+name)
		refuses(t, mailer+"mailer.extraEnv[0].name="+name+",mailer.extraEnv[0].value=postgres://u:p@h/d", "mailer.extraEnv has")
	}
}

// config must not contain variables that OpenTelemetry, libraries and tools treat as secrets. It may contain variables that only have a
// similar name.
func TestConfigRefusesOtherSecrets(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		"OTEL_EXPORTER_OTLP_HEADERS=api-key=x", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x", "OTEL_EXPORTER_OTLP_METRICS_HEADERS=x",
		"OTEL_EXPORTER_OTLP_LOGS_HEADERS=x", "OTEL_EXPORTER_OTLP_ENDPOINT=https://u:p@c.example.com",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://key@c.example.com",
		"OTEL_EXPORTER_JAEGER_PASSWORD=x", "DATA_KEY=x", "DATA_ACCEPTED_KEYS=x", "SMTP_URL=smtps://u:p@smtp.example.com", "PGPASSWORD=x",
		"HTTPS_PROXY=http://u:p@proxy.example.com:3128", "AWS_SECRET_ACCESS_KEY=x", "VAULT_TOKEN=x",
	} {
		refuses(t, "config."+set, "config."+strings.SplitN(set, "=", 2)[0])
	}
	for _, set := range []string{
		"OTEL_EXPORTER_OTLP_CLIENT_KEY=/tls/key.pem", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=/tls/key.pem",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example.com/@x",
		"ACCESS_TOKEN_TTL=10m", "PASSWORD_MIN_LENGTH=20", "PWNED_PASSWORDS_URL=https://api.pwnedpasswords.com/range/",
	} {
		if _, message, err := try(nil, "helm", "template", "accounts", chart, "--values", base, "--set", "config."+set); err != nil {
			t.Errorf("%s is refused: %s", set, message)
		}
	}
}

func refuses(t *testing.T, set, say string) {
	t.Helper()
	out, message, err := try(nil, "helm", "template", "accounts", chart, "--values", base, "--set", set)
	if err == nil {
		t.Errorf("%s: the chart renders %d bytes, want a refusal", set, len(out))
		return
	}
	if lines := complaints(message); len(lines) != 1 || !strings.HasPrefix(lines[0], say) {
		t.Errorf("%s: the problem should begin with %q, but is %q", set, say, lines)
	}
}

// A key in a file that users copy, or in a test of the chart, could sign tokens in somebody's cluster.
func TestNoFileHasAKeyThatSignsTokens(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{chart + "/ci/*.yaml", chart + "/values.yaml", chart + "/tests/*.yaml", "k8s/*/*.yaml", "tilt/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			if match := writtenKey.Find(read(t, file)); match != nil {
				t.Errorf("%s has a key: %s", file, match)
			}
		}
	}
}

// writtenKey matches a key that signs or encrypts, and that is long enough for the service.
var writtenKey = regexp.MustCompile(`(?i)(?:^|[^a-z])` +
	`(secret|acceptedSecrets|jwt-secret|accepted-secrets|JWT_[A-Z_]+|DATA_[A-Z_]+): *["']?[-+/=\w]{32,}`)
