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

// endsSessions are the routes that get an attacked user to safety, which no quota may keep.
var endsSessions = []string{"POST /logout", "DELETE /users/:id/sessions", "DELETE /users/:id/sessions/:session_id"}

// TestEveryRouteHasAQuota that fits it: what writes or hashes counts, unless it ends sessions.
func TestEveryRouteHasAQuota(t *testing.T) {
	t.Parallel()
	a := &API{cfg: Config{DocsEnabled: true}}
	for _, r := range a.routes() {
		name := r.method + " " + r.path
		var want []quotaRule
		switch {
		case r.method == http.MethodGet, strings.HasPrefix(r.path, "/verify"), slices.Contains(endsSessions, name):
			want = []quotaRule{uncounted}
		case r.rule.Anonymous():
			want = []quotaRule{byAddress, bySession, byReset}
		default:
			want = []quotaRule{write, hash, writeOrHash}
		}
		if !slices.Contains(want, r.quota) {
			t.Errorf("%s has the quota %d, want one of %v", name, r.quota, want)
		}
	}
}

// TestNetworksShareAQuota spends each quota from many addresses of the network, none of which has spent its own.
func TestNetworksShareAQuota(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first string
		step  int // byte of the address that changes
		in    int // requests that are let in, with a limit of 3
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
				t.Errorf("%d are let in, want %d", in, test.in)
			}
			if got := last.Header().Get("RateLimit-Policy"); !strings.HasPrefix(got, `"network";q=`) {
				t.Errorf("RateLimit-Policy is %q", got)
			}
			if tries(api, 1, test.next) != 1 {
				t.Error("the next network is refused")
			}
		})
	}
}

// TestARefusedRequestTakesNothing from the quota that an address shares with its neighbors.
func TestARefusedRequestTakesNothing(t *testing.T) {
	t.Parallel()
	api := limited(3, &counter{}).Handler()
	if got := tries(api, 1000, "2001:db8:0:1::1"); got != 3 {
		t.Errorf("%d are let in, want 3", got)
	}
	if got := tries(api, 5, "2001:db8:0:2::1"); got != 3 {
		t.Errorf("%d of a neighbor are let in, want 3", got)
	}
}

// TestARefusedRequestAddsNoBucket floods from every /64 of a /48 whose quota is spent: nobody else's bucket makes room for them.
func TestARefusedRequestAddsNoBucket(t *testing.T) {
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
		t.Error("an address whose quota is spent starts over")
	}
	if n := l.buckets.Len(); n != 2+1+4+48 { // those of the neighbor, the /48, four /56, and the 48 /64 whose request is let in
		t.Errorf("there are %d buckets", n)
	}
}

// TestPeersWithoutAnAddressShareOneQuota, which is that of one address.
func TestPeersWithoutAnAddressShareOneQuota(t *testing.T) {
	t.Parallel()
	l := newOne(3)
	l.stop()
	for i := range 5 {
		if refused := l.take(netip.Addr{}) > 0; refused != (i >= 3) {
			t.Errorf("request %d is refused: %t", i+1, refused)
		}
	}
}

// TestWhatIsGivenBack can be taken again, and a full bucket gets no fuller.
func TestWhatIsGivenBack(t *testing.T) {
	t.Parallel()
	l, c := newLimiter[string](), quotaKey[string]{"a", &user.Limit{Policy: "account", Quota: 5, Window: time.Minute}}
	l.stop()
	fits := func(n int) bool {
		met, _ := l.take(n, c)
		return met == nil
	}
	l.refund(1, c)
	if !fits(5) || fits(1) {
		t.Error("a new bucket does not have 5")
	}
	l.refund(2, c)
	if !fits(2) || fits(1) {
		t.Error("2 that are given back are not 2 to take")
	}
	l.refund(5, c)
	l.refund(5, c)
	if !fits(5) || fits(1) {
		t.Error("a full bucket does not have 5")
	}
}

// TestAQuotaSmallerThanAHash lets one through when the bucket is full.
func TestAQuotaSmallerThanAHash(t *testing.T) {
	t.Parallel()
	l, limit := newLimiter[string](), &user.Limit{Policy: "account", Quota: 5, Window: time.Minute}
	l.stop()
	if met, _ := l.take(hashCost, quotaKey[string]{"a", limit}); met != nil {
		t.Error("a full bucket is not enough")
	}
	met, wait := l.take(hashCost, quotaKey[string]{"a", limit})
	if met != limit || wait != time.Minute {
		t.Errorf("the next one meets %v and waits %s, want a minute", met, wait)
	}
}

// TestAFullQueueIsTooManyRequests: such a refusal has no quota to tell of.
func TestAFullQueueIsTooManyRequests(t *testing.T) {
	t.Parallel()
	observer := &policies{}
	a := limited(1, observer)
	w := httptest.NewRecorder()
	a.failWith(&user.Error{Code: user.TooManyRequests, Detail: "Wait.", RetryAfter: time.Second}).ServeHTTP(w, httptest.NewRequest("PATCH", "/users/me", nil))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status is %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for _, name := range []string{"RateLimit", "RateLimit-Policy"} {
		if got, has := w.Header()[name]; has {
			t.Errorf("%s is %q", name, got)
		}
	}
	if !slices.Equal(observer.seen, []string{"queue"}) {
		t.Errorf("counted as %v", observer.seen)
	}
}

// policies is an Observer that keeps the names of the limits that were met.
type policies struct {
	counter
	seen []string
}

// RateLimited implements Observer.
func (p *policies) RateLimited(policy string) { p.seen = append(p.seen, policy) }
