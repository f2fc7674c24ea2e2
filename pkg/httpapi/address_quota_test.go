package httpapi_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// startWithAddressQuota runs the API with an address quota of one request without a token. So one address has 20 requests with a token.
func startWithAddressQuota(t *testing.T, change ...func(*settings)) *server {
	t.Helper()
	return startBehindAProxy(t, append(change, func(set *settings) { set.limit = 1 })...)
}

// accountAt creates an account and logs in from an address.
func (s *server) accountAt(addr string) account {
	s.t.Helper()
	r := user.Registration{Email: strings.ToLower(rand.Text()) + "@example.com", Password: goodPassword}
	u, err := s.users.Create(s.t.Context(), access.Internal(uuid.Nil), r, access.User)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.login(account{User: u, password: goodPassword}, from(addr))
}

// TestAccountsAtOneAddressShareAQuota writes with several accounts from one address. Together they may send 20 times as many requests as
// the address may send without a token. The quota does not limit reads, ending the caller's own sessions, and other addresses.
func TestAccountsAtOneAddressShareAQuota(t *testing.T) {
	t.Parallel()
	s := startWithAddressQuota(t, func(set *settings) { set.account = 100 })
	var accounts []account
	for i := range 3 {
		accounts = append(accounts, s.accountAt(fmt.Sprintf("192.0.%d.1", i)))
	}
	patch := func(a account, addr string) answer {
		return s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(a.token), from(addr))
	}
	for i := range 20 {
		patch(accounts[i%3], home).want(t, 200)
	}
	for _, a := range accounts {
		got := patch(a, home)
		got.wantProblem(t, 429, "too-many-requests")
		wait := got.header.Get("Retry-After")
		if policy, rest := got.header.Get("RateLimit-Policy"), got.header.Get("RateLimit"); policy != `"account-address";q=20;w=60` ||
			rest != `"account-address";r=0;t=`+wait || wait != "3" {
			t.Errorf("RateLimit-Policy is %q, RateLimit %q and Retry-After %q, want the limit of accounts at the address and 3 s", policy,
				rest, wait)
		}
	}
	patch(accounts[0], travel).want(t, 200)
	s.call("GET", "/users/me", nil, as(accounts[0].token), from(home)).want(t, 200)
	s.call("POST", "/logout", nil, as(accounts[0].token), from(home)).want(t, 204)
	s.call("DELETE", "/users/me/sessions", nil, as(accounts[1].token), from(home)).want(t, 204)
	s.call("DELETE", "/users/me/sessions/"+s.sessions("/users/me", accounts[2].token)[0].ID.String(), nil,
		as(accounts[2].token), from(home)).
		want(t, 204)
}

// TestAHashCountsAsTenAtAnAddress sends requests that hash from one address. A request beyond the quota of the address uses no quota of the
// account.
func TestAHashCountsAsTenAtAnAddress(t *testing.T) {
	t.Parallel()
	s := startWithAddressQuota(t, func(set *settings) { set.account = 31 })
	a, b := s.accountAt("192.0.0.1"), s.accountAt("192.0.1.1")
	patch := func(a account, addr string) answer {
		return s.call("PATCH", "/users/me", map[string]any{"name": "Ada", "current_password": goodPassword}, as(a.token), from(addr))
	}
	patch(a, home).want(t, 200)
	patch(b, home).want(t, 200)
	for range 10 {
		patch(a, home).wantProblem(t, 429, "too-many-requests")
		s.call("PUT", "/users/me/password", change("not that one, ever", newPassword), as(a.token), from(home)).want(t, 429)
	}
	patch(a, travel).want(t, 200)
	patch(a, travel).want(t, 200)
	patch(a, elsewhere).want(t, 429) // the account's quota
}

// TestTheAddressQuotaNeedsNoAccountQuota checks that the quota of an address applies without a quota for accounts, also for a hash.
func TestTheAddressQuotaNeedsNoAccountQuota(t *testing.T) {
	t.Parallel()
	s := startWithAddressQuota(t)
	a := s.accountAt("192.0.0.1")
	for i := range 3 {
		got := s.call("PATCH", "/users/me", map[string]any{"name": "Ada", "current_password": goodPassword}, as(a.token), from(home))
		if want := map[bool]int{true: 200, false: 429}[i < 2]; got.status != want {
			t.Errorf("request %d: status is %d, want %d", i+1, got.status, want)
		}
	}
}

// TestAccountsInANetworkShareAQuota uses up the quotas of networks with one account. No address exceeds its own quota.
func TestAccountsInANetworkShareAQuota(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first string
		step  int // byte of the address that changes
		in    int // accepted requests
	}{
		"IPv4 /24": {"203.0.113.0", 15, 80},
		"IPv6 /56": {"2001:db8:0:100::1", 7, 80},
		"IPv6 /48": {"2001:db8:1::1", 6, 320},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWithAddressQuota(t)
			a := s.accountAt("192.0.0.1")
			for i := range test.in + 1 {
				addr := netip.MustParseAddr(test.first).As16()
				addr[test.step] = byte(i % 100)
				got := s.call("PATCH", "/users/me", `{"name":1}`, as(a.token), from(netip.AddrFrom16(addr).Unmap().String()))
				if i < test.in {
					got.want(t, 422)
					continue
				}
				if policy, want := got.want(t, 429).header.Get("RateLimit-Policy"), fmt.Sprintf(`"account-network";q=%d;w=60`,
					test.in); policy != want {
					t.Errorf("RateLimit-Policy is %q, want %q", policy, want)
				}
			}
		})
	}
}

// TestMailsCountByAddress requests verification mails for several accounts from one address. The requests share the quota of the anonymous
// requests of the address. A refused request uses no quota of the account.
func TestMailsCountByAddress(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t, func(set *settings) { set.limit, set.account = 3, 4 })
	var accounts []account
	for i := range 3 {
		accounts = append(accounts, s.accountAt(fmt.Sprintf("192.0.%d.1", i)))
	}
	verify := func(a account, addr string) answer {
		return s.call("POST", "/email-verification", nil, as(a.token), from(addr))
	}
	for _, a := range accounts {
		verify(a, home).want(t, 202)
	}
	const want = `"address";q=3;w=60`
	for range 3 {
		if policy := verify(accounts[0], home).want(t, 429).header.Get("RateLimit-Policy"); policy != want {
			t.Errorf("RateLimit-Policy is %q, want %q", policy, want)
		}
	}
	s.call("POST", "/password-reset", map[string]any{"email": "nobody@example.com"}, from(home)).want(t, 429)
	for range 3 {
		verify(accounts[0], travel).want(t, 202)
	}
	verify(accounts[0], elsewhere).want(t, 429) // the account's quota
}
