package config_test

import (
	"net/netip"
	"testing"
)

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8":                      "10.0.0.0/8",
		"10.1.2.3/8":                      "10.0.0.0/8",
		"10.0.0.1":                        "10.0.0.1",
		"10.0.0.1/32":                     "10.0.0.1",
		"2001:DB8::/32, 10.0.0.1 ,fd00::": "2001:db8::/32,10.0.0.1,fd00::",
		"::ffff:10.0.0.1":                 "10.0.0.1",
		"::ffff:10.0.0.0/104":             "10.0.0.0/8",
		"0.0.0.0/0":                       "0.0.0.0/0",
	} {
		cfg := mustLoad(t, with(map[string]string{"TRUSTED_PROXIES": text}))
		if got := cfg.HTTP.TrustedProxies.String(); got != want {
			t.Errorf("%q is parsed as %q, want %q", text, got, want)
		}
	}
	cfg := mustLoad(t, with(map[string]string{"TRUSTED_PROXIES": "::ffff:10.0.0.0/104"}))
	if !cfg.HTTP.TrustedProxies[0].Contains(netip.MustParseAddr("10.9.9.9")) {
		t.Error("an IPv4-mapped network does not contain IPv4 addresses")
	}
}
