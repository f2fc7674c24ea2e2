package httpapi_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"user-service/pkg/user"
)

// revoke sends a token to POST /revoke.
func (s *server) revoke(token string, with ...option) answer {
	s.t.Helper()
	return s.call("POST", "/revoke", url.Values{"token": {token}, "token_type_hint": {"access_token"}}, with...)
}

// TestRevokingATokenEndsItsSession revokes both kinds of tokens, and a used refresh token.
func TestRevokingATokenEndsItsSession(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	for name, tokenOf := range map[string]func(a account) string{
		"access": func(a account) string { return a.token }, "refresh": func(a account) string { return a.refresh },
		"used refresh": func(a account) string {
			s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(t, 200)
			return a.refresh
		},
	} {
		ended, other := s.login(a), s.login(a)
		token := tokenOf(ended)
		got := s.revoke(token, as(other.token)).want(t, 200) // Authorization is ignored
		if len(got.body) != 0 {
			t.Errorf("%s: the body is %s, want none", name, got.body)
		}
		s.call("GET", "/users/me", nil, as(ended.token)).want(t, 401)
		s.call("POST", "/refresh", map[string]any{"refresh_token": ended.refresh}).want(t, 401)
		s.call("GET", "/users/me", nil, as(other.token)).want(t, 200)
		s.revoke(token).want(t, 200) // again
	}
	revoked := s.audit(admin.token, "action="+string(user.TokenRevoked))
	if len(revoked) != 3 || revoked[0].ActorID == nil || *revoked[0].ActorID != a.ID || revoked[0].UserID == nil ||
		*revoked[0].UserID != a.ID {
		t.Errorf("the trail has %+v, want three ended sessions by and of %s", revoked, a.ID)
	}
}

// TestRevokingOtherTextsDoesNothing checks that the response to every token is the same.
func TestRevokingOtherTextsDoesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for name, token := range map[string]string{
		"expired": expired(t, a.token), "made up": "x", "forged access": flipped(a.token), "forged refresh": flipped(a.refresh),
		"one-time token": s.askForReset(a.Email), "long": strings.Repeat("x", 60<<10),
	} {
		if got := s.revoke(token); got.status != 200 || len(got.body) != 0 {
			t.Errorf("%s: status is %d, want 200 without a body: %s", name, got.status, got.body)
		}
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
}

// TestRevokingNeedsNoQuota uses up the quota of an address with texts that are not tokens. Tokens of the service can still be revoked, and
// do not count.
func TestRevokingNeedsNoQuota(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) {
		set.limit, set.proxies = 4, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	from := func(addr string) option { return header("X-Forwarded-For", addr) }
	a := s.admin()
	var sessions []account
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.1"} {
		for range 3 {
			sessions = append(sessions, s.login(a, from(addr)))
		}
	}
	for _, one := range sessions[:5] {
		s.revoke(one.token, from("203.0.113.1")).want(t, 200)
	}
	for i := range 6 {
		if got := s.revoke("x", from("203.0.113.1")); got.status != 200 && i < 4 || i >= 4 && got.status != 429 {
			t.Errorf("request %d: status is %d, want 4 accepted requests", i+1, got.status)
		}
	}
	got := s.revoke("x", from("203.0.113.1"))
	got.wantProblem(t, 429, "too-many-requests")
	if policy := got.header.Get("RateLimit-Policy"); policy != `"address";q=4;w=60` {
		t.Errorf("RateLimit-Policy is %q, want that of the address", policy)
	}
	for _, one := range sessions[5:] {
		s.revoke(one.refresh, from("203.0.113.1")).want(t, 200)
		s.call("GET", "/users/me", nil, as(one.token)).want(t, 401)
	}
	s.revoke(strings.Repeat("x", 5<<10), from("203.0.113.1")).want(t, 429)
	s.call("POST", "/revoke", "token=a&token=b", header("Content-Type", formType), from("203.0.113.1")).want(t, 429)
}
