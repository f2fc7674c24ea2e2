package httpapi_test

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// TestAccountQuotaCountsWritesAndHashes sends 40 requests of each kind with an account quota of 30. A write counts as one request, a
// password check counts as ten, and a read is not counted.
func TestAccountQuotaCountsWritesAndHashes(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 30 })
	for name, test := range map[string]struct {
		method, path string
		body         any
		most         int // accepted of 40 requests
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
			for i := range 40 {
				got := s.call(test.method, test.path, test.body, as(a.token))
				if refused := got.status == 429 &&
					got.header.Get("RateLimit-Policy") == `"account";q=30;w=60`; refused != (i >= test.most) {
					t.Fatalf("request %d: status is %d with the policy %q, want %d accepted requests",
						i+1, got.status, got.header.Get("RateLimit-Policy"), test.most)
				}
			}
			s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(s.register().token)).want(t, 200) // other accounts have their own quota
		})
	}
}

// TestARefusedHashUsesNoQuota refuses requests because the rest of the account quota does not suffice for a hash. These requests must not
// use quota, so that cheaper requests can use the rest.
func TestARefusedHashUsesNoQuota(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 12 })
	a := s.register()
	patch := func(body string) answer { return s.call("PATCH", "/users/me", body, as(a.token)) }
	for range 5 {
		patch(`{"name":"Ada"}`).want(t, 200)
	}
	for range 10 {
		got := patch(`{"name":"Ada","current_password":"seven"}`)
		got.wantProblem(t, 429, "too-many-requests")
		if wait := got.header.Get("Retry-After"); wait != "15" { // three units are missing, and 12 return per minute
			t.Errorf("Retry-After is %q, want 15", wait)
		}
	}
	for range 7 {
		patch(`{"name":"Ada"}`).want(t, 200)
	}
	patch(`{"name":"Ada"}`).want(t, 429)
}

// TestAnAdminsChangeCountsAsNoHash checks that an administrator's change of another account counts as one request, because the service does
// not check a password.
func TestAnAdminsChangeCountsAsNoHash(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 12 })
	a, admin := s.register(), s.admin()
	for range 12 {
		s.call("PATCH", a.path(), map[string]any{"name": "Ada", "current_password": goodPassword}, as(admin.token)).want(t, 200)
	}
	s.call("PATCH", a.path(), `{"name":"Ada"}`, as(admin.token)).want(t, 429)
}

// TestEndingSessionsNeedsNoQuota checks that a user without quota can still end an attacker's session.
func TestEndingSessionsNeedsNoQuota(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 2 })
	a := s.register()
	other := s.login(a)
	for range 2 {
		s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(a.token)).want(t, 200)
	}
	got := s.call("PATCH", "/users/me", `{"name":"Bob"}`, as(a.token))
	got.wantProblem(t, 429, "too-many-requests")
	wait := got.header.Get("Retry-After")
	limit := got.header.Get("RateLimit")
	if seconds, err := strconv.Atoi(wait); err != nil || seconds < 1 || seconds > 30 || limit != `"account";r=0;t=`+wait {
		t.Errorf("Retry-After is %q and RateLimit %q, want 1 to 30 seconds in both", wait, limit)
	}
	sessions := decode[struct{ Items []struct{ ID string } }](t, s.call("GET", "/users/me/sessions", nil, as(a.token)).want(t, 200)).Items
	s.call("DELETE", "/users/me/sessions/"+sessions[0].ID, nil, as(a.token)).want(t, 204) // the newest
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 401)
	third := s.login(a)
	s.call("POST", "/logout", nil, as(third.token)).want(t, 204)
	s.call("DELETE", "/users/me/sessions", nil, as(a.token)).want(t, 204)
}

// TestWaitingRequestsForOneAccountAreBounded sends requests for one account while its row is locked. One request runs, 64 wait in the
// queue, and the queue refuses the last one without a RateLimit-Policy header. The waiting requests must hold at most one database
// connection, so that the service can still serve another account.
func TestWaitingRequestsForOneAccountAreBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, path string
		body         any
		byAdmin      bool
	}{
		"changes of one's own account":   {"PATCH", "/users/me", `{"name":"Ada"}`, false},
		"changes by an administrator":    {"PATCH", "/users/{id}", `{"name":"Ada"}`, true},
		"ends of all sessions":           {"DELETE", "/users/me/sessions", nil, false},
		"ends of a session":              {"DELETE", "/users/me/sessions/{session_id}", nil, false}, // the session of another login
		"ends of sessions of an account": {"DELETE", "/users/{id}/sessions", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			older := s.register()
			a, other := s.login(older), s.register()
			caller := a
			if test.byAdmin {
				caller = s.admin()
			}
			path := strings.NewReplacer("{id}", a.ID.String(), "{session_id}",
				s.sessions("/users/me", a.token)[1].ID.String()).Replace(test.path)
			unlock := s.lockTarget(pending{target: a})
			const most = 66 // one runs, 64 wait, and one is refused
			answers := make(chan answer, most)
			for range most {
				go func() { answers <- s.call(test.method, path, test.body, as(caller.token)) }()
			}
			tooMany := <-answers
			read := s.call("GET", "/users/me", nil, as(other.token))
			s.login(other)
			waiting := s.waitingForLocks()
			unlock()
			tooMany.wantProblem(t, 429, "too-many-requests")
			if policy, has := tooMany.header["Ratelimit-Policy"]; has || tooMany.header.Get("Retry-After") != "1" {
				t.Errorf("RateLimit-Policy is %q and Retry-After %q, want none and 1", policy, tooMany.header.Get("Retry-After"))
			}
			read.want(t, 200)
			if waiting > 1 {
				t.Errorf("%d connections wait for the account, want at most 1", waiting)
			}
			for range most - 1 {
				<-answers
			}
		})
	}
}

// waitingForLocks returns how many connections to the database of s wait for a lock.
func (s *server) waitingForLocks() (n int) {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(context.Background()) }()
	err := conn.QueryRow(s.t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// withoutQuota starts the API and uses up the quota of one address. The option there sends a request from that address.
func withoutQuota(t *testing.T, limit int) (s *server, a account, there option) {
	t.Helper()
	s = start(t, func(set *settings) {
		set.limit, set.proxies = limit, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	a = s.register()
	there = header("X-Forwarded-For", "203.0.113.1")
	for range limit {
		s.call("POST", "/login", `{}`, there).want(t, 422)
	}
	s.call("POST", "/login", `{}`, there).wantProblem(t, 429, "too-many-requests")
	return s, a, there
}

// TestARefreshCountsByItsSession refreshes from an address that has used up its quota. A valid refresh token counts in the quota of its
// session. A forged token counts in the quota of the address, so it is refused.
func TestARefreshCountsByItsSession(t *testing.T) {
	t.Parallel()
	s, a, there := withoutQuota(t, 4)
	other := s.login(a)
	refresh := func(token string) answer {
		return s.call("POST", "/refresh", map[string]any{"refresh_token": token}, there)
	}
	first := a.refresh
	for range 4 {
		a.refresh = decode[tokens](t, refresh(a.refresh).want(t, 200)).RefreshToken
	}
	got := refresh(a.refresh)
	got.wantProblem(t, 429, "too-many-requests")
	const sessionPolicy, addressPolicy = `"session";q=4;w=60`, `"address";q=4;w=60`
	if policy := got.header.Get("RateLimit-Policy"); policy != sessionPolicy {
		t.Errorf("RateLimit-Policy is %q, want %q", policy, sessionPolicy)
	}
	refresh(first).want(t, 429)         // all tokens of a session share its quota
	refresh(other.refresh).want(t, 200) // another session has its own quota
	for _, forged := range []string{"", "x", flipped(first), first + "A"} {
		if policy := refresh(forged).want(t, 429).header.Get("RateLimit-Policy"); policy != addressPolicy {
			t.Errorf("%q: RateLimit-Policy is %q, want %q", forged, policy, addressPolicy)
		}
	}
	for _, body := range []string{``, `{`, `{"refresh_token":1}`, `[]`} {
		s.call("POST", "/refresh", body, there).want(t, 429)
	}
}

// TestAnAccountQuotaLimitsRefreshes checks that all sessions of an account share one quota for refreshes.
func TestAnAccountQuotaLimitsRefreshes(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limit, set.account = 100, 6 })
	a := s.register()
	b := s.login(a)
	refresh := func(token *string) answer {
		got := s.call("POST", "/refresh", map[string]any{"refresh_token": *token})
		if got.status == 200 {
			*token = decode[tokens](t, got).RefreshToken
		}
		return got
	}
	for range 3 {
		refresh(&a.refresh).want(t, 200)
		refresh(&b.refresh).want(t, 200)
	}
	const want = `"account";q=6;w=60`
	for _, token := range []*string{&a.refresh, &b.refresh} {
		if policy := refresh(token).want(t, 429).header.Get("RateLimit-Policy"); policy != want {
			t.Errorf("RateLimit-Policy is %q, want %q", policy, want)
		}
	}
	other := s.register()
	refresh(&other.refresh).want(t, 200)
}

// TestTokensOfEndedSessionsCountByAddress checks that tokens of many ended sessions share the quota of their address.
func TestTokensOfEndedSessionsCountByAddress(t *testing.T) {
	t.Parallel()
	const limit = 4
	s := start(t, func(set *settings) {
		set.limit, set.proxies = limit, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	a := s.register()
	var ended []string
	for i := range 3 * limit {
		b := s.login(a, header("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i)))
		s.call("POST", "/logout", nil, as(b.token)).want(t, 204)
		ended = append(ended, b.refresh)
	}
	there := header("X-Forwarded-For", "203.0.113.1")
	statuses := map[int]int{}
	for _, token := range ended {
		statuses[s.call("POST", "/refresh", map[string]any{"refresh_token": token}, there).status]++
	}
	if statuses[401] != limit || statuses[429] != 2*limit {
		t.Errorf("statuses are %v, want 401 %d times and 429 %d times", statuses, limit, 2*limit)
	}
	conn := s.connect()
	defer func() { _ = conn.Close(t.Context()) }()
	var entries int
	err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE action = 'session_use_after_expire'`).Scan(&entries)
	if err != nil || entries != limit {
		t.Errorf("there are %d entries in the audit trail, want %d: %v", entries, limit, err)
	}
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}, there).want(t, 200)
}

// TestALargeRefreshBodyCountsByAddress checks that an address without quota cannot make the service read a large body.
func TestALargeRefreshBodyCountsByAddress(t *testing.T) {
	t.Parallel()
	s, a, there := withoutQuota(t, 4)
	refresh := func(size int, from ...option) answer {
		body := fmt.Sprintf(`{"refresh_token":%q}`, a.refresh)
		return s.call("POST", "/refresh", body+strings.Repeat(" ", size-len(body)), from...)
	}
	refresh(4<<10+1, there).want(t, 429)
	a.refresh = decode[tokens](t, refresh(4<<10, there).want(t, 200)).RefreshToken
	refresh(64<<10).want(t, 200) // another address has quota
}

// flipped returns the token with another first character.
func flipped(token string) string {
	if token[0] == 'A' {
		return "B" + token[1:]
	}
	return "A" + token[1:]
}

func TestAResetIsConfirmedAtAnAddressWithoutQuota(t *testing.T) {
	t.Parallel()
	s, a, there := withoutQuota(t, 4)
	confirm := func(token, pw string) answer {
		return s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": pw}, there)
	}
	token := s.askForReset(a.Email)
	confirm(flipped(token), newPassword).want(t, 429)
	confirm("x", newPassword).want(t, 429)
	confirm(token, "weak").want(t, 422)
	confirm(token, newPassword).want(t, 204)
	confirm(token, newPassword).want(t, 429) // the token is used
}

// TestForgedResetTokensCauseFewQueries sends forged tokens from one address. The first four tokens use up the quota of the address. The
// service then looks up four more tokens, because a valid token needs no quota. Further tokens must not cause a query.
func TestForgedResetTokensCauseFewQueries(t *testing.T) {
	t.Parallel()
	database := newCounter(t)
	s := start(t, func(set *settings) {
		set.database, set.limit, set.proxies = database.dsn, 4, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	there, elsewhere := header("X-Forwarded-For", "203.0.113.1"), header("X-Forwarded-For", "198.51.100.1")
	confirm := func(token string, from option) answer {
		return s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": newPassword}, from)
	}
	for i := range 4 {
		confirm(forged(i), there).want(t, 400)
	}
	const want = `"address";q=4;w=60`
	before := database.queries.Load()
	for i := range 50 {
		if policy := confirm(forged(i), there).want(t, 429).header.Get("RateLimit-Policy"); policy != want {
			t.Errorf("RateLimit-Policy is %q, want %q", policy, want)
		}
	}
	if n := database.queries.Load() - before; n != 4 {
		t.Errorf("50 forged tokens from an address without quota caused %d queries, want 4", n)
	}
	confirm(forged(0), elsewhere).want(t, 400)
}

// forged returns the i-th invalid one-time token, in the form of a valid one.
func forged(i int) string { return fmt.Sprintf("%043d", i) }

// TestOneHashWaitsForAResetToken confirms one token in 66 concurrent requests while no slot is free. Only one hash waits.
func TestOneHashWaitsForAResetToken(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits.Concurrency = 1 })
	token := s.askForReset(s.register().Email)
	has, release := s.takeSlot()
	<-has
	const most = 66 // one runs, 64 wait, and one is refused
	answers := make(chan answer, most)
	for range most {
		go func() { answers <- s.confirmReset(token, newPassword) }()
	}
	(<-answers).wantProblem(t, 429, "too-many-requests")
	s.waitForHashes(1)
	for range 20 {
		s.call("GET", "/healthz", nil).want(t, 200)
		if n := s.hasher.Waiting(); n != 1 {
			t.Fatalf("%d hashes for one token wait, want 1", n)
		}
	}
	release()
	statuses := map[int]int{}
	for range most - 1 {
		statuses[(<-answers).status]++
	}
	if statuses[204] > 1 || statuses[204]+statuses[400]+statuses[503] != most-1 {
		t.Errorf("statuses are %v, want at most one 204, and refusals", statuses)
	}
}

// TestAConfirmedResetUsesNoQuota confirms resets and checks that the address still has its whole quota for other requests.
func TestAConfirmedResetUsesNoQuota(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) {
		set.limit, set.proxies = 4, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	there := header("X-Forwarded-For", "203.0.113.1")
	for i := range 2 {
		a := s.with()
		token := s.askForReset(a.Email)
		pw := fmt.Sprintf("%s, %d", newPassword, i)
		s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": pw}, there).want(t, 204)
	}
	for range 4 {
		s.call("POST", "/login", `{}`, there).want(t, 422)
	}
	s.call("POST", "/login", `{}`, there).want(t, 429)
}
