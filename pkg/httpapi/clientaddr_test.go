package httpapi

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.1/32"), netip.MustParsePrefix("fd00::/8"),
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		peer  string
		lines []string // the lines of X-Forwarded-For
		want  string
	}{
		"no proxy":                        {"203.0.113.7:4711", nil, "203.0.113.7"},
		"no proxy, a forged header":       {"203.0.113.7:4711", []string{"198.51.100.1"}, "203.0.113.7"},
		"no proxy, claims to be one":      {"203.0.113.7:4711", []string{"198.51.100.1, 10.0.0.1"}, "203.0.113.7"},
		"one proxy":                       {"10.0.0.1:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"one proxy, a forged header":      {"10.0.0.1:4711", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		"one proxy, a forged chain":       {"10.0.0.1:4711", []string{"198.51.100.1, 10.0.0.2, 203.0.113.7"}, "203.0.113.7"},
		"a forged header on its own line": {"10.0.0.1:4711", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		"a chain":                         {"10.0.0.1:4711", []string{"203.0.113.7,192.168.1.1 ,\t10.9.9.9"}, "203.0.113.7"},
		"a chain over several lines": {
			"10.0.0.1:4711",
			[]string{"198.51.100.1", "203.0.113.7, 192.168.1.1", "10.9.9.9"},
			"203.0.113.7",
		},
		"proxies only":                    {"10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"a proxy without the header":      {"10.0.0.1:4711", nil, "10.0.0.1"},
		"a proxy with an empty header":    {"10.0.0.1:4711", []string{""}, "10.0.0.1"},
		"an address next to a proxy's":    {"10.0.0.1:4711", []string{"203.0.113.7, 192.168.1.2"}, "192.168.1.2"},
		"garbage":                         {"10.0.0.1:4711", []string{"203.0.113.7, unknown"}, "10.0.0.1"},
		"garbage behind a proxy":          {"10.0.0.1:4711", []string{"203.0.113.7, _hidden, 10.0.0.2"}, "10.0.0.2"},
		"garbage before the client":       {"10.0.0.1:4711", []string{"<script>, 203.0.113.7"}, "203.0.113.7"},
		"an empty entry":                  {"10.0.0.1:4711", []string{"203.0.113.7,, 10.0.0.2"}, "10.0.0.2"},
		"an address that is out of range": {"10.0.0.1:4711", []string{"203.0.113.256"}, "10.0.0.1"},
		"a network":                       {"10.0.0.1:4711", []string{"203.0.113.0/24"}, "10.0.0.1"},
		"IPv4 in octal":                   {"10.0.0.1:4711", []string{"0313.0.0161.07"}, "10.0.0.1"},
		"a port":                          {"10.0.0.1:4711", []string{"203.0.113.7:567"}, "203.0.113.7"},
		"an invalid port":                 {"10.0.0.1:4711", []string{"203.0.113.7:99999"}, "10.0.0.1"},
		"IPv6":                            {"[2001:db8::1]:4711", nil, "2001:db8::1"},
		"IPv6 behind a proxy":             {"10.0.0.1:4711", []string{"2001:DB8:0::0001"}, "2001:db8::1"},
		"IPv6 in brackets":                {"10.0.0.1:4711", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv6 with a port":                {"10.0.0.1:4711", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		"IPv6 with half a bracket":        {"10.0.0.1:4711", []string{"[2001:db8::1"}, "10.0.0.1"},
		"IPv6 in two pairs of brackets":   {"10.0.0.1:4711", []string{"[[2001:db8::1]]"}, "10.0.0.1"},
		"IPv6 with a zone":                {"[fe80::1%eth0]:4711", nil, "fe80::1"},
		"IPv6 with a zone behind a proxy": {"10.0.0.1:4711", []string{"fe80::1%1.2.3.4"}, "fe80::1"},
		"a proxy on IPv6":                 {"[fd00::1]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"a proxy on IPv6 with a zone":     {"[fd00::1%eth0]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"a proxy, its IPv4 within IPv6":   {"[::ffff:10.0.0.1]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		"a client, its IPv4 within IPv6":  {"10.0.0.1:4711", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		"a peer that has no IP address":   {"@", []string{"203.0.113.7"}, "invalid IP"},
		"a long forged chain":             {"10.0.0.1:4711", []string{strings.Repeat("10.0.0.1,", 1500) + "203.0.113.7"}, "203.0.113.7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = test.peer
			for _, line := range test.lines {
				r.Header.Add("X-Forwarded-For", line)
			}
			for _, other := range []string{"X-Real-Ip", "Forwarded", "True-Client-Ip", "X-Client-Ip", "Cf-Connecting-Ip"} {
				r.Header.Set(other, "198.51.100.1")
			}
			if got := clientAddr(r, proxies); got.String() != test.want {
				t.Errorf("the client address is %s, want %s", got, test.want)
			}
		})
	}
}

func TestNoProxyIsTrustedByDefault(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "127.0.0.1:4711"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	if got := clientAddr(r, nil); got.String() != "127.0.0.1" {
		t.Errorf("the client address is %s, want the peer 127.0.0.1", got)
	}
}
