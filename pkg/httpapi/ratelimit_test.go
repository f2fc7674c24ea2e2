package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counter is an Observer that counts the requests refused by the quota of an address.
type counter struct{ refused atomic.Int64 }

func (*counter) RequestStarted(context.Context, string) func(string, int) {
	return func(string, int) {}
}

// RefreshDone implements Observer.
func (c *counter) Authorized(string)  {}
func (c *counter) RefreshDone(string) {}

// LoginDone implements Observer.
func (c *counter) LoginDone(string) {}

// RateLimited implements Observer.
func (c *counter) RateLimited(policy string) {
	if policy == "address" {
		c.refused.Add(1)
	}
}

// limited returns an API without a user service, which suffices for refused requests. Its quotas do not refill.
func limited(perMinute int, observer Observer) *API {
	a := refilled(perMinute, observer)
	a.StopClock()
	return a
}

// refilled returns the same API with quotas that refill.
func refilled(perMinute int, observer Observer) *API {
	cfg := Config{DocsEnabled: true, TrustedProxies: proxies, RateLimitPerMinute: perMinute}
	return New(cfg, nil, NewHealth(nil), observer, slog.New(slog.DiscardHandler))
}

// ask sends a request without a body from a peer. On the limited routes, an accepted request gets a 4xx other than 429.
func ask(api http.Handler, method, path, peer string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(peer), 4711).String()
	r.Header["X-Forwarded-For"] = forwarded
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// tries sends n logins and returns the number of accepted ones.
func tries(api http.Handler, n int, peer string, forwarded ...string) (in int) {
	for range n {
		if ask(api, "POST", "/login", peer, forwarded...).Code != http.StatusTooManyRequests {
			in++
		}
	}
	return in
}

func TestEveryAnonymousPostIsLimited(t *testing.T) {
	t.Parallel()
	a := limited(1, &counter{})
	api := a.Handler()
	found := map[string]bool{}
	for i, r := range a.routes() {
		peer := fmt.Sprintf("203.0.%d.1", i) // each in its own network
		path := strings.NewReplacer(":id", "me", "*file", "init.js").Replace(r.path)
		first, second := ask(api, r.method, path, peer).Code, ask(api, r.method, path, peer).Code
		if first == http.StatusTooManyRequests {
			t.Errorf("%s %s: the first request is refused, want it accepted", r.method, r.path)
		}
		want := r.method == "POST" && r.rule.Anonymous() && r.path != "/logout" // a logout has no quota
		if got := second == http.StatusTooManyRequests; got != want {
			t.Errorf("%s %s: limited is %t, want %t", r.method, r.path, got, want)
		}
		found[r.path] = want
	}
	if !found["/register"] || !found["/login"] || !found["/refresh"] || found["/logout"] || found["/healthz"] {
		t.Errorf("limited routes are %v, want register, login and refresh, without logout and healthz", found)
	}
}

func TestAllRoutesShareOneQuota(t *testing.T) {
	t.Parallel()
	api := limited(2, &counter{}).Handler()
	ask(api, "POST", "/login", "203.0.113.1")
	ask(api, "POST", "/register", "203.0.113.1")
	if got := ask(api, "POST", "/refresh", "203.0.113.1").Code; got != http.StatusTooManyRequests {
		t.Errorf("status of the third request is %d, want 429", got)
	}
}

func TestUnknownPathsAndMethodsUseNoQuota(t *testing.T) {
	t.Parallel()
	api := limited(1, &counter{}).Handler()
	for range 3 {
		if got := ask(api, "POST", "/nothing", "203.0.113.1").Code; got != http.StatusNotFound {
			t.Errorf("status of an unknown path is %d, want 404", got)
		}
		if got := ask(api, "PUT", "/login", "203.0.113.1").Code; got != http.StatusMethodNotAllowed {
			t.Errorf("status of another method is %d, want 405", got)
		}
	}
	if got := tries(api, 5, "203.0.113.1"); got != 1 {
		t.Errorf("%d logins are accepted, want 1", got)
	}
}

func TestWhichClientsShareAQuota(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, next []string // a peer and its X-Forwarded-For
		shared      bool
	}{
		"the same address":                {[]string{"203.0.113.1"}, []string{"203.0.113.1"}, true},
		"two addresses":                   {[]string{"203.0.113.1"}, []string{"203.0.113.2"}, false},
		"one /64":                         {[]string{"2001:db8:0:1::1"}, []string{"2001:db8:0:1:ffff::2"}, true},
		"two /64":                         {[]string{"2001:db8:0:1::1"}, []string{"2001:db8:0:2::1"}, false},
		"IPv4 within IPv6":                {[]string{"203.0.113.1"}, []string{"::ffff:203.0.113.1"}, true},
		"two IPv4 within IPv6":            {[]string{"::ffff:203.0.113.1"}, []string{"::ffff:203.0.113.2"}, false},
		"a forged header":                 {[]string{"203.0.113.1"}, []string{"203.0.113.1", "198.51.100.7"}, true},
		"a forged header through a proxy": {[]string{"10.0.0.1", "203.0.113.1"}, []string{"10.0.0.1", "198.51.100.7, 203.0.113.1"}, true},
		"a forged line through a proxy": {
			[]string{"10.0.0.1", "203.0.113.1"},
			[]string{"10.0.0.1", "198.51.100.7", "203.0.113.1"},
			true,
		},
		"two ports through a proxy":         {[]string{"10.0.0.1", "203.0.113.1:1"}, []string{"10.0.0.1", "203.0.113.1:2"}, true},
		"two proxies, one client":           {[]string{"10.0.0.1", "203.0.113.1"}, []string{"10.0.0.2", "203.0.113.1"}, true},
		"one proxy, two clients":            {[]string{"10.0.0.1", "203.0.113.1"}, []string{"10.0.0.1", "203.0.113.2"}, false},
		"another's address in the header":   {[]string{"203.0.113.1", "198.51.100.7"}, []string{"198.51.100.7"}, false},
		"with and without a trusted proxy":  {[]string{"203.0.113.1"}, []string{"10.0.0.1", "203.0.113.1"}, true},
		"garbage that a client made itself": {[]string{"10.0.0.1", "x, 203.0.113.1"}, []string{"10.0.0.1", "y, 203.0.113.1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := limited(3, &counter{}).Handler()
			if got := tries(api, 5, test.first[0], test.first[1:]...); got != 3 {
				t.Fatalf("%d requests of the first client are accepted, want 3", got)
			}
			got := tries(api, 5, test.next[0], test.next[1:]...)
			if want := map[bool]int{true: 0, false: 3}[test.shared]; got != want {
				t.Errorf("%d requests of the second client are accepted, want %d", got, want)
			}
		})
	}
}

func TestAQuotaRefills(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := refilled(60, &counter{}).Handler()
		const peer = "203.0.113.1"
		for _, step := range []struct {
			after time.Duration
			in    int
		}{{0, 60}, {0, 0}, {999 * time.Millisecond, 0}, {time.Millisecond, 1}, {10 * time.Second, 10}, {time.Hour, 60}} {
			<-time.After(step.after)
			if got := tries(api, 100, peer); got != step.in {
				t.Errorf("%s later %d of 100 requests are accepted, want %d", step.after, got, step.in)
			}
		}
	})
}

// TestARequestSucceedsAfterRetryAfter uses up quotas of many sizes at different times and retries after Retry-After.
func TestARequestSucceedsAfterRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, quota := range []int{1, 2, 3, 7, 11, 49, 60, 61, 97, 600, 1000} {
			api := refilled(quota, &counter{}).Handler()
			tries(api, quota, "203.0.113.1")
			for _, pause := range []time.Duration{0, 1, 333 * time.Microsecond, 17 * time.Millisecond} {
				<-time.After(pause)
				w := ask(api, "POST", "/login", "203.0.113.1")
				if w.Code != http.StatusTooManyRequests {
					continue // the pause was enough
				}
				seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
				if err != nil || seconds < 1 || seconds > 60/quota+1 {
					t.Fatalf("quota %d: Retry-After is %q, want 1 to %d seconds", quota, w.Header().Get("Retry-After"), 60/quota+1)
				}
				<-time.After(time.Duration(seconds) * time.Second)
				if got := tries(api, 1, "203.0.113.1"); got != 1 {
					t.Fatalf("quota %d: the request is refused after the %d s of Retry-After, want it accepted", quota, seconds)
				}
				tries(api, quota, "203.0.113.1")
			}
		}
	})
}

func TestConcurrentRequestsShareTheQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock does not advance
		observer := &counter{}
		api := limited(50, observer).Handler()
		var in atomic.Int64
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for range 10 {
					in.Add(int64(tries(api, 1, "203.0.113.1")))
					tries(api, 1, fmt.Sprintf("198.51.100.%d", i)) // another address
				}
			})
		}
		all.Wait()
		if in.Load() != 50 || observer.refused.Load() != 150 {
			t.Errorf("of 200 requests %d are accepted and %d counted as refused, want 50 and 150", in.Load(), observer.refused.Load())
		}
	})
}

func TestZeroDisablesTheLimit(t *testing.T) {
	t.Parallel()
	if got := tries(limited(0, &counter{}).Handler(), 1000, "203.0.113.1"); got != 1000 {
		t.Errorf("%d of 1000 requests are accepted, want all", got)
	}
}

func TestARefusalReadsNoBody(t *testing.T) {
	t.Parallel()
	api := limited(1, &counter{}).Handler()
	for _, want := range []struct {
		status int
		read   bool
	}{{http.StatusUnprocessableEntity, true}, {http.StatusTooManyRequests, false}} {
		body := strings.NewReader("{}")
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/login", body)
		r.Header.Set("Content-Type", mediaJSON)
		api.ServeHTTP(w, r)
		if read := body.Len() == 0; w.Code != want.status || read != want.read {
			t.Errorf("status is %d and the body is read: %t; want %d and %t", w.Code, read, want.status, want.read)
		}
	}
}
