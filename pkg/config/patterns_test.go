package config_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"user-service/pkg/config"
)

// samples has values that the service accepts and values that it refuses, by variable.
var samples = map[string]struct{ valid, invalid []string }{
	"PWNED_PASSWORDS_URL": {
		[]string{"https://x/range/", "https://x:8443/a/range/", "http://localhost:80/range/", "http://127.0.0.1/range/"},
		[]string{"https://x/range", "http://x/range/", "https:///range/", "https://u@x/range/", "https://x/range/?a", "https://x//range/"},
	},
	"WEBAUTHN_RP_ID": {
		[]string{"example.com", "a-b.example.com", "xn--bcher-kva.example"},
		[]string{"Example.com", "https://example.com", "example.com:443", "127.0.0.1", "-a.com", "a_b.com"},
	},
	"WEBAUTHN_ORIGINS": {
		[]string{"https://example.com", "https://a.example.com:8443, https://example.com,"},
		[]string{"http://example.com", "https://example.com/", "example.com", "https://a@example.com", "https://example.com x"},
	},
	"WORKLOAD_ISSUER": {
		[]string{"https://x", "https://x:8443/a/b"},
		[]string{"http://x", "http://localhost", "https://u@x", "https://x?a", "https://x#a", "x", "https://", "https://:443"},
	},
	"WORKLOAD_JWKS_URL": {
		[]string{"https://x/keys", "https://x/keys?a=b", "https://x:1"},
		[]string{"http://x/keys", "https://u@x/keys", "https://x/keys#a", "keys"},
	},
	"WORKLOAD_ROLES": {
		[]string{"a/b=c", "a/b.c=d+e, spiffe://x/y=z,arn:aws:iam::1:role/x=y=role.b"},
		[]string{"a/b", "a=b", "a/b=", "a/b=c,", "a/b=c+", "A/b=c", "a/b=C", "a/b/c=d", "spiffe://x/a b=c"},
	},
}

// TestThePatternsOfTheChartAgreeWithTheService checks that the chart accepts the same samples as the service.
func TestThePatternsOfTheChartAgreeWithTheService(t *testing.T) {
	t.Parallel()
	for name, pattern := range chartPatterns(t) {
		sample := samples[name]
		for _, value := range slices.Concat(sample.valid, sample.invalid) {
			want := slices.Contains(sample.valid, value)
			env := with(map[string]string{"WORKLOAD_ISSUER": "https://issuer.example"})
			switch name {
			case "WEBAUTHN_RP_ID":
				env["WEBAUTHN_ORIGINS"] = "https://" + value
			case "WEBAUTHN_ORIGINS":
				env["WEBAUTHN_RP_ID"] = "example.com"
			}
			env[name] = value
			if _, err := load(t, env); (err == nil) != want {
				t.Errorf("%s=%s: the service says %v, want accepted = %t", name, value, err, want)
			}
			if got := pattern.MatchString(value); got != want {
				t.Errorf("%s=%s: the pattern matches = %t, want %t", name, value, got, want)
			}
		}
	}
}

// chartPatterns returns the patterns in the chart's schema by variable.
func chartPatterns(t *testing.T) map[string]*regexp.Regexp {
	t.Helper()
	var variables map[string]struct{ Pattern string }
	if err := json.NewDecoder(strings.NewReader(config.ChartSchema(&config.Config{}))).Decode(&variables); err != nil {
		t.Fatal(err)
	}
	patterns := map[string]*regexp.Regexp{}
	for name, variable := range variables {
		if variable.Pattern != "" {
			patterns[name] = regexp.MustCompile(variable.Pattern)
		}
	}
	if got, want := slices.Sorted(maps.Keys(patterns)), slices.Sorted(maps.Keys(samples)); !slices.Equal(got, want) {
		t.Fatalf("variables with a pattern: %v, want %v", got, want)
	}
	return patterns
}
