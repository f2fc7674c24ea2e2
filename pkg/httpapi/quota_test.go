package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"user-service/pkg/user"
)

// endsSessions are the routes that end sessions. They have no quota, so that an attacked user can always end the attacker's session.
var endsSessions = []string{"POST /logout", "DELETE /users/:id/sessions", "DELETE /users/:id/sessions/:session_id"}

// TestEveryRouteHasAQuota checks that each route that writes or hashes has a quota, except for routes that end sessions.
func TestEveryRouteHasAQuota(t *testing.T) {
	t.Parallel()
	a := &API{cfg: Config{DocsEnabled: true}}
	for _, r := range a.routes() {
		name := r.method + " " + r.path
		var want []quotaRule
		switch {
		case r.path == "/users/:id/export":
			want = []quotaRule{export}
		case r.path == "/revoke":
			want = []quotaRule{byRevocation}
		case r.method == http.MethodGet, strings.HasPrefix(r.path, "/verify"), r.path == "/introspect", slices.Contains(endsSessions, name):
			want = []quotaRule{uncounted}
		case r.rule.Anonymous():
			want = []quotaRule{byAddress, bySession, byReset}
		default:
			want = []quotaRule{write, mail, hash, writeOrHash}
		}
		if !slices.Contains(want, r.quota) {
			t.Errorf("%s has the quota %d, want one of %v", name, r.quota, want)
		}
	}
}

// TestNetworksShareAQuota uses up the quota of each network from many addresses. No address exceeds its own quota.
func TestNetworksShareAQuota(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first string
		step  int // byte of the address that changes
		in    int // accepted requests, with a limit of 3
		next  string
	}{
		"IPv4 /24": {"203.0.113.0", 15, 12, "203.0.114.1"},
		"IPv6 /56": {"2001:db8:0:100::1", 7, 12, "2001:db8:0:200::1"},
		"IPv6 /48": {"2001:db8:1::1", 6, 48, "2001:db8:2::1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := limited(3, &counter{}).Handler()
			in, last := 0, (*httptest.ResponseRecorder)(nil)
			for i := range 100 {
				addr := netip.MustParseAddr(test.first).As16()
				addr[test.step] = byte(i)
				last = ask(api, "POST", "/login", netip.AddrFrom16(addr).String())
				if last.Code != http.StatusTooManyRequests {
					in++
				}
			}
			if in != test.in {
				t.Errorf("%d requests are accepted, want %d", in, test.in)
			}
			if got := last.Header().Get("RateLimit-Policy"); !strings.HasPrefix(got, `"network";q=`) {
				t.Errorf("RateLimit-Policy is %q, want \"network\"", got)
			}
			if tries(api, 1, test.next) != 1 {
				t.Error("a request of the next network is refused, want it accepted")
			}
		})
	}
}

// TestARefusedRequestUsesNoQuota checks that refused requests of one address leave the quota of its network to other addresses.
func TestARefusedRequestUsesNoQuota(t *testing.T) {
	t.Parallel()
	api := limited(3, &counter{}).Handler()
	if got := tries(api, 1000, "2001:db8:0:1::1"); got != 3 {
		t.Errorf("%d requests are accepted, want 3", got)
	}
	if got := tries(api, 5, "2001:db8:0:2::1"); got != 3 {
		t.Errorf("%d requests of another address are accepted, want 3", got)
	}
}

// TestRefusedRequestsAddNoState sends requests from every /64 of a /48 that has used up its quota. The token buckets of other addresses
// must not be evicted.
func TestRefusedRequestsAddNoState(t *testing.T) {
	t.Parallel()
	l := newOne(3)
	l.stop()
	neighbor := netip.MustParseAddr("203.0.113.1")
	for range 3 {
		l.take(neighbor)
	}
	for i := range 1 << 16 {
		l.take(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, byte(i >> 8), byte(i), 15: 1}))
	}
	if l.take(neighbor) == 0 {
		t.Error("the quota of another address starts over, want it still used up")
	}
	const want = 2 + 1 + 4 + 48 // two for the other address, the /48, four /56, and the 48 /64 with an accepted request
	if n := l.buckets.Len(); n != want {
		t.Errorf("there are %d buckets, want %d", n, want)
	}
}

// TestPeersWithoutAnAddressShareOneQuota checks that all peers without an IP address together have the quota of a single address.
func TestPeersWithoutAnAddressShareOneQuota(t *testing.T) {
	t.Parallel()
	l := newOne(3)
	l.stop()
	for i := range 5 {
		if refused := l.take(netip.Addr{}) > 0; refused != (i >= 3) {
			t.Errorf("request %d is refused: %t, want %t", i+1, refused, i >= 3)
		}
	}
}

// TestARefundIsBounded checks that refunded quota can be used again, and that a refund does not exceed the quota.
func TestARefundIsBounded(t *testing.T) {
	t.Parallel()
	l, c := newLimiter[string](), quotaKey[string]{"a", &user.Limit{Policy: "account", Quota: 5, Window: time.Minute}}
	l.stop()
	fits := func(n int) bool {
		met, _ := l.take(n, c)
		return met == nil
	}
	l.refund(1, c)
	if !fits(5) || fits(1) {
		t.Error("a refund to an unused quota changes it, want exactly 5")
	}
	l.refund(2, c)
	if !fits(2) || fits(1) {
		t.Error("after a refund of 2 the quota differs, want exactly 2")
	}
	l.refund(5, c)
	l.refund(5, c)
	if !fits(5) || fits(1) {
		t.Error("after a refund of 10 the quota differs, want exactly 5")
	}
}

// TestAQuotaSmallerThanAHash checks that one hash is accepted when the whole quota is available, even if a hash counts as more than the
// quota.
func TestAQuotaSmallerThanAHash(t *testing.T) {
	t.Parallel()
	l, limit := newLimiter[string](), &user.Limit{Policy: "account", Quota: 5, Window: time.Minute}
	l.stop()
	if met, _ := l.take(hashCost, quotaKey[string]{"a", limit}); met != nil {
		t.Error("a hash is refused with an unused quota, want it accepted")
	}
	met, wait := l.take(hashCost, quotaKey[string]{"a", limit})
	if met != limit || wait != time.Minute {
		t.Errorf("the next hash is refused by %v for %s, want %v for a minute", met, wait, limit)
	}
}

// TestAFullQueueIsTooManyRequests checks that the 429 for a full queue has a Retry-After, but no header field about a quota.
func TestAFullQueueIsTooManyRequests(t *testing.T) {
	t.Parallel()
	observer := &policies{}
	a := limited(1, observer)
	w := httptest.NewRecorder()
	refused := &user.Error{Code: user.TooManyRequests, Detail: "Wait.", RetryAfter: time.Second}
	a.failWith(refused).ServeHTTP(w, httptest.NewRequest("PATCH", "/users/me", nil))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status is %d and Retry-After %q, want 429 and 1", w.Code, w.Header().Get("Retry-After"))
	}
	for _, name := range []string{"RateLimit", "RateLimit-Policy"} {
		if got, has := w.Header()[name]; has {
			t.Errorf("%s is %q, want no such header", name, got)
		}
	}
	if !slices.Equal(observer.seen, []string{"queue"}) {
		t.Errorf("the observed policies are %v, want queue", observer.seen)
	}
}

// policies is an Observer that collects the names of the exceeded limits.
type policies struct {
	counter
	seen []string
}

// RateLimited implements Observer.
func (p *policies) RateLimited(policy string) { p.seen = append(p.seen, policy) }
