package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
)

func TestValues(t *testing.T) {
	t.Parallel()
	env := with(map[string]string{
		"JWT_SECRET": "", "JWT_SECRET_FILE": file(t, planted), "JWT_ACCEPTED_KEYS_FILE": file(t, planted),
		"ACCESS_TOKEN_TTL": "90m", "REFRESH_TOKEN_TTL": "2160h0m30s", "LOG_LEVEL": "WARN",
	})
	var groups struct {
		Tokens config.Tokens
		Log    config.Log
	}
	if err := config.Load(envconfig.MapLookuper(env), &groups); err != nil {
		t.Fatal(err)
	}
	want := []config.Value{
		{"JWT_SECRET", "[hidden]", config.FromFile},
		{"JWT_ACCEPTED_SECRETS", "", config.FromDefault},
		{"JWT_PRIVATE_KEY", "", config.FromDefault},
		{"JWT_ACCEPTED_KEYS", "[hidden]", config.FromFile},
		{"JWT_ISSUER", "user-service", config.FromDefault},
		{"JWT_AUDIENCE", "user-service", config.FromDefault},
		{"JWT_CLIENT_ID", "user-service", config.FromDefault},
		{"ACCESS_TOKEN_TTL", "1h30m", config.FromEnvironment},
		{"REFRESH_TOKEN_IDLE_TTL", "720h", config.FromDefault},
		{"REFRESH_TOKEN_TTL", "2160h0m30s", config.FromEnvironment},
		{"LOG_LEVEL", "warn", config.FromEnvironment},
	}
	if diff := cmp.Diff(want, config.Values(envconfig.MapLookuper(env), &groups)); diff != "" {
		t.Errorf("the values differ (-want +got):\n%s", diff)
	}
}

// TestDefaultsAndValuesHaveTheSameFormat compares the defaults in the tags with the values after Load. If their formats differed, the
// documentation would differ from the output of `user-service config`.
func TestDefaultsAndValuesHaveTheSameFormat(t *testing.T) {
	t.Parallel()
	env := envconfig.MapLookuper(required())
	cfg := mustLoad(t, required())
	derived := map[string]bool{"DATABASE_MAX_CONNS": true, "PASSWORD_HASH_CONCURRENCY": true, "PASSWORD_HASH_QUEUE": true}
	described := config.Describe(&cfg)
	for i, value := range config.Values(env, &cfg) {
		if v := described[i]; !v.Required && !derived[v.Name] && value.Value != v.Default {
			t.Errorf("the default of %s is %q in the tag, and %q after Load", v.Name, v.Default, value.Value)
		}
	}
}
