package config_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
)

// withFile returns an environment with JWT_SECRET in a file.
func withFile(path string) map[string]string {
	return with(map[string]string{"JWT_SECRET": "", "JWT_SECRET_FILE": path})
}

func TestSecretFromFile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, want string }{
		"unchanged":             {planted, planted},
		"newline":               {planted + "\n", planted},
		"Windows newline":       {planted + "\r\n", planted},
		"only one newline":      {planted + "\n\n", planted + "\n"},
		"carriage return alone": {planted + "\r", planted + "\r"},
		"spaces":                {" " + planted + " \n", " " + planted + " "},
		"newline within":        {"a\n" + planted, "a\n" + planted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := mustLoad(t, withFile(file(t, test.content)))
			if got := cfg.Tokens.Secret.Reveal(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEverySecretMayComeFromAFile(t *testing.T) {
	t.Parallel()
	env := required()
	for _, v := range config.Describe(&config.Config{}) {
		if v.Secret {
			delete(env, v.Name)
			value := required()["DATABASE_URL"]
			if strings.HasPrefix(v.Name, "DATA_") {
				value = newDataKey()
			}
			env[v.FileName()] = file(t, value)
		}
	}
	cfg := mustLoad(t, env)
	var fromFile []string
	for _, v := range config.Values(envconfig.MapLookuper(env), &cfg) {
		if v.Source == config.FromFile {
			fromFile = append(fromFile, v.Name)
		}
	}
	want := []string{
		"DATABASE_URL", "MIGRATION_DATABASE_URL", "RABBITMQ_PASS",
		"JWT_SECRET", "JWT_ACCEPTED_SECRETS", "JWT_PRIVATE_KEY", "JWT_ACCEPTED_KEYS",
		"DATA_KEY", "DATA_ACCEPTED_KEYS", "SMTP_URL",
	}
	if diff := cmp.Diff(want, fromFile); diff != "" {
		t.Errorf("the secrets differ (-want +got):\n%s", diff)
	}
}

func TestBadSecretFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"both": {
			with(map[string]string{"JWT_SECRET_FILE": file(t, planted)}),
			"is set, and so is JWT_SECRET_FILE; set only one of them",
		},
		"missing": {
			withFile(filepath.Join(t.TempDir(), planted)),
			"can't be read from the file of JWT_SECRET_FILE: no such file or directory",
		},
		"directory": {withFile(t.TempDir()), "can't be read from the file of JWT_SECRET_FILE: is a directory"},
		"NUL":       {withFile(planted + "\x00"), "can't be read from the file of JWT_SECRET_FILE: invalid argument"},
		"empty":     {withFile(file(t, "\n")), "is empty in the file of JWT_SECRET_FILE"},
		"short":     {withFile(file(t, "short\n")), "has 5 bytes and needs at least 32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, test.env)
			if diff := cmp.Diff([]string{"JWT_SECRET"}, names(t, err)); diff != "" {
				t.Fatalf("the problems differ (-want +got):\n%s", diff)
			}
			if !strings.Contains(err.Error(), "JWT_SECRET: "+test.want) {
				t.Errorf("%q does not contain %q", err, test.want)
			}
			if strings.Contains(err.Error(), planted) {
				t.Errorf("%q contains the secret", err)
			}
		})
	}
}

func TestOnlySecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, with(map[string]string{"JWT_ISSUER_FILE": file(t, "https://issuer.example")}))
	if cfg.Tokens.Issuer != "user-service" {
		t.Errorf("JWT_ISSUER_FILE sets the issuer to %q", cfg.Tokens.Issuer)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, with(map[string]string{"MIGRATION_DATABASE_URL": "postgres://o:" + planted + "@db/app"}))
	var out bytes.Buffer
	for _, value := range []any{cfg, &cfg, cfg.Tokens, cfg.Tokens.Secret, []config.Secret{cfg.Tokens.Secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
			_, _ = fmt.Fprintf(&out, verb+"\n", value)
		}
		_, _ = fmt.Fprintln(&out, value)
		_ = json.NewEncoder(&out).Encode(value)
		_ = xml.NewEncoder(&out).Encode(value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("value", "value", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("value", "value", value)
	}
	_, _ = fmt.Fprintln(&out, cfg.Tokens.Secret.String()+cfg.Tokens.Secret.GoString(), fmt.Errorf("bad: %v", cfg.Tokens.Secret))
	_, _ = fmt.Fprintln(&out, config.Values(envconfig.MapLookuper(required()), &cfg))

	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, planted) || strings.Contains(strings.ToLower(line), hex.EncodeToString([]byte(planted))) {
			t.Errorf("a secret is printed: %s", line)
		}
	}
	if got := strings.Count(out.String(), "[hidden]"); got < 100 {
		t.Errorf("only %d secrets are hidden, want at least 100", got)
	}
}

func TestSecretsAreNotInProblems(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for _, v := range config.Describe(&config.Config{}) {
		env[v.Name] = "://" + planted[:27] // invalid for all types except text, and too short for a key
	}
	_, err := load(t, env)
	if len(names(t, err)) < 20 {
		t.Errorf("too few problems: %v", err)
	}
	if strings.Contains(err.Error(), planted[:27]) {
		t.Errorf("a value is printed: %v", err)
	}
}

// TestLogHandlersDoNotGetTheSecret checks the resolved value that slog passes to handlers, because a handler may use this value and not
// its text.
func TestLogHandlersDoNotGetTheSecret(t *testing.T) {
	t.Parallel()
	if got := slog.AnyValue(config.Secret(planted)).Resolve().Any(); got != "[hidden]" {
		t.Errorf("handlers get %#v", got)
	}
}

func TestNoSecret(t *testing.T) {
	t.Parallel()
	if got := config.Secret("").String(); got != "" {
		t.Errorf("an empty secret is printed as %q", got)
	}
}

// TestAnAcceptedSecretMayHaveSurroundingSpaces moves a JWT_SECRET with spaces around it to JWT_ACCEPTED_SECRETS. It must be accepted with
// the spaces, because JWT_SECRET is not trimmed.
func TestAnAcceptedSecretMayHaveSurroundingSpaces(t *testing.T) {
	t.Parallel()
	padded := " " + planted + "\t"
	cfg := mustLoad(t, with(map[string]string{"JWT_SECRET": padded}))
	next := mustLoad(t, with(map[string]string{"JWT_SECRET": rotated, "JWT_ACCEPTED_SECRETS": padded + ", ," + planted}))
	for _, secret := range []string{cfg.Tokens.Secret.Reveal(), planted} {
		if !slices.Contains(next.Tokens.Accepted(), secret) {
			t.Errorf("%q is not among %q", secret, next.Tokens.Accepted())
		}
	}
}
