package httpapi_test

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// TestWhatCountsInTheQuotaOfAnAccount spends a quota of 30 in every way. It fills again by one every two seconds.
func TestWhatCountsInTheQuotaOfAnAccount(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 30 })
	for name, test := range map[string]struct {
		method, path string
		body         any
		most         int // requests of 40 that are let in at once
	}{
		"PATCH":              {"PATCH", "/users/me", `{"name":"Ada"}`, 30},
		"an invalid PATCH":   {"PATCH", "/users/me", `{"name":1}`, 30},
		"PATCH and password": {"PATCH", "/users/me", map[string]any{"name": "Ada", "current_password": goodPassword}, 3},
		"PUT and password":   {"PUT", "/users/me", map[string]any{"email": "b@example.com", "current_password": "not that one, ever"}, 3},
		"password":           {"PUT", "/users/me/password", change("not that one, ever", newPassword), 3},
		"verification":       {"POST", "/email-verification", nil, 30},
		"read":               {"GET", "/users/me", nil, 40},
		"list of sessions":   {"GET", "/users/me/sessions", nil, 40},
		"verify":             {"GET", "/verify", nil, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.register()
			started, in := time.Now(), 0
			for in < 40 && !refusedByAccount(s.call(test.method, test.path, test.body, as(a.token))) {
				in++
			}
			if filled := int(time.Since(started) / (2 * time.Second)); in < test.most || in > test.most+filled {
				t.Errorf("%d requests are let in, want %d, and at most %d more by now", in, test.most, filled)
			}
			s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(s.register().token)).want(t, 200) // nobody else is refused
		})
	}
}

func refusedByAccount(got answer) bool {
	return got.status == 429 && got.header.Get("RateLimit-Policy") == `"account";q=30;w=60`
}

// TestNoQuotaKeepsSessionsAlive: whoever is attacked gets the attacker out.
func TestNoQuotaKeepsSessionsAlive(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 1 })
	a := s.register()
	other := s.login(a)
	s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(a.token)).want(t, 200)
	got := s.call("PATCH", "/users/me", `{"name":"Bob"}`, as(a.token))
	got.wantProblem(t, 429, "too-many-requests")
	wait := got.header.Get("Retry-After")
	if seconds, err := strconv.Atoi(wait); err != nil || seconds < 1 || seconds > 60 || got.header.Get("RateLimit") != `"account";r=0;t=`+wait {
		t.Errorf("Retry-After is %q, RateLimit %q", wait, got.header.Get("RateLimit"))
	}
	sessions := decode[struct{ Items []struct{ ID string } }](t, s.call("GET", "/users/me/sessions", nil, as(a.token)).want(t, 200)).Items
	s.call("DELETE", "/users/me/sessions/"+sessions[0].ID, nil, as(a.token)).want(t, 204) // the newest
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 401)
	third := s.login(a)
	s.call("POST", "/logout", nil, as(third.token)).want(t, 204)
	s.call("DELETE", "/users/me/sessions", nil, as(a.token)).want(t, 204)
}

// scarce is the API with a quota of one a minute for each address, an account, and an address that it has not been used from.
func scarce(t *testing.T) (s *server, a account, there option) {
	t.Helper()
	s = start(t, func(set *settings) {
		set.limit, set.proxies = 1, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	u, err := s.users.Create(t.Context(), access.Internal(uuid.Nil), user.Registration{Email: "ada@example.com", Password: goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	return s, account{User: u, password: goodPassword}, from("203.0.113.1")
}

// spend spends the quota of an address.
func (s *server) spend(there option) {
	s.t.Helper()
	s.call("POST", "/login", `{}`, there).want(s.t, 422)
	s.call("POST", "/login", `{}`, there).wantProblem(s.t, 429, "too-many-requests")
}

func TestARefreshCountsByItsSession(t *testing.T) {
	t.Parallel()
	s, a, there := scarce(t)
	session := func(addr string) string {
		body := map[string]any{"email": a.Email, "password": a.password}
		return decode[tokens](t, s.call("POST", "/login", body, from(addr)).want(t, 200)).RefreshToken
	}
	refresh := func(token string) answer {
		return s.call("POST", "/refresh", map[string]any{"refresh_token": token}, there)
	}
	mine, other := session("198.51.100.1"), session("192.0.2.1")
	s.spend(there)
	next := decode[tokens](t, refresh(mine).want(t, 200)).RefreshToken
	for _, token := range []string{mine, next} { // by the session, whatever the counter
		got := refresh(token)
		got.wantProblem(t, 429, "too-many-requests")
		if policy := got.header.Get("RateLimit-Policy"); policy != `"session";q=1;w=60` {
			t.Errorf("RateLimit-Policy is %q", policy)
		}
	}
	refresh(other).want(t, 200) // which has a quota of its own
	for _, forged := range []string{"", "x", flipped(mine), mine + "A"} {
		if policy := refresh(forged).want(t, 429).header.Get("RateLimit-Policy"); policy != `"address";q=1;w=60` {
			t.Errorf("%q: RateLimit-Policy is %q", forged, policy)
		}
	}
	for _, body := range []string{``, `{`, `{"refresh_token":1}`, `[]`} {
		s.call("POST", "/refresh", body, there).want(t, 429)
	}
}

// flipped is a token with another first character.
func flipped(token string) string {
	if token[0] == 'A' {
		return "B" + token[1:]
	}
	return "A" + token[1:]
}

func TestAResetIsConfirmedWhateverOthersDoAtTheAddress(t *testing.T) {
	t.Parallel()
	s, a, there := scarce(t)
	confirm := func(token, pw string) answer {
		return s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": pw}, there)
	}
	token := s.askForReset(a.Email)
	s.spend(there)
	confirm(flipped(token), newPassword).want(t, 429)
	confirm("x", newPassword).want(t, 429)
	confirm(token, "weak").want(t, 422)
	confirm(token, newPassword).want(t, 204)
	confirm(token, newPassword).want(t, 429) // it is no live one any more
}

// TestAConfirmedResetCountsForNothing at an address that has its quota.
func TestAConfirmedResetCountsForNothing(t *testing.T) {
	t.Parallel()
	s, a, there := scarce(t)
	token := s.askForReset(a.Email)
	s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": newPassword}, there).want(t, 204)
	s.spend(there)
}
