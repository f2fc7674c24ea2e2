package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/user"
)

const newPassword = "nine blue lanterns hum"

func change(current, next string) map[string]any {
	return map[string]any{"current_password": current, "new_password": next}
}

// changePassword changes the password and returns the account with the new session.
func (s *server) changePassword(a account, next string) account {
	s.t.Helper()
	got := decode[tokens](s.t, s.call("PUT", "/users/me/password", change(a.password, next), as(a.token)).want(s.t, 200))
	a.token, a.refresh, a.password = got.AccessToken, got.RefreshToken, next
	return a
}

// TestANewPasswordEndsEverySession checks ASVS 7.2.4: a password change also ends the session of the request and returns a new one.
func TestANewPasswordEndsEverySession(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	other := s.login(a)
	s.call("POST", "/password-reset", map[string]any{"email": a.Email}).want(t, 202)
	_, reset := lastEvent[tokenIssued](t, s, event.PasswordResetRequested)

	changed := s.changePassword(a, newPassword)
	s.isOut(other)
	s.isOut(a)
	s.call("GET", "/users/me", nil, as(changed.token)).want(t, 200)
	s.call("POST", "/refresh", map[string]any{"refresh_token": changed.refresh}).want(t, 200)
	if all := s.sessions("/users/me", changed.token); len(all) != 1 || !all[0].Current {
		t.Errorf("sessions after the change are %+v, want only the new one", all)
	}
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t, 401, "invalid-credentials")
	s.call("POST", "/password-reset/confirm", map[string]any{"token": reset.Token, "new_password": goodPassword}).
		wantProblem(t, 400, "invalid-token")
	a.password = newPassword
	s.login(a)

	e, data := lastEvent[map[string]any](t, s, event.PasswordChanged)
	if e.Subject != a.ID || e.UserVersion != 1 || len(data) != 1 || data["id"] != a.ID.String() {
		t.Errorf("the event is %+v with the data %v, want only the user's id", e, data)
	}
	if u := s.current(a); u.Version != 1 || !u.UpdatedAt.Equal(a.UpdatedAt) {
		t.Errorf("the user is %+v, want it unchanged by a new password", u)
	}
}

func TestAnInvalidPasswordChangeIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	for name, c := range map[string]struct {
		body     any
		pointers []string
	}{
		"nothing":   {`{}`, []string{"/current_password", "/new_password"}},
		"short":     {change(a.password, "short"), []string{"/new_password"}},
		"own email": {change(a.password, a.Email), []string{"/new_password"}},
		"long":      {change(strings.Repeat("x", 129), strings.Repeat("x", 129)), []string{"/current_password", "/new_password"}},
		"unknown field": {
			map[string]any{"current_password": a.password, "new_password": newPassword, "password": newPassword}, []string{"/password"},
		},
	} {
		p := s.call("PUT", "/users/me/password", c.body, as(a.token)).wantProblem(t, 422, "validation-failed")
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Pointer)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.pointers) {
			t.Errorf("%s: errors are %v, want the pointers %v", name, p.Errors, c.pointers)
		}
	}
	s.call("PUT", "/users/me/password", change("wrong "+a.password, newPassword), as(a.token)).
		wantProblem(t, 403, "reauthentication-required")
	s.call("PUT", a.path()+"/password", change(a.password, newPassword), as(admin.token)).wantProblem(t, 403, "forbidden")
	s.login(a)
	if n := len(s.events(event.PasswordChanged)); n != 0 {
		t.Errorf("%d events of refused changes, want none", n)
	}
}

// TestNoSessionOfTheOldPasswordOutlivesAChange logs in concurrently with a password change. After the response to the change, no session
// that the old password has opened may be valid.
func TestNoSessionOfTheOldPasswordOutlivesAChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	for round := range 8 {
		a := s.register()
		opened := make([]tokens, 12)
		var wg sync.WaitGroup
		for i := range opened {
			wg.Go(func() {
				got := s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password})
				if got.status == 200 {
					opened[i] = decode[tokens](t, got)
				}
			})
		}
		wg.Go(func() {
			got := patiently(func() answer {
				return s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token))
			})
			if got.status == 200 {
				a.token = decode[tokens](t, got).AccessToken
			} else if got.status != 401 { // 401: an earlier attempt changed the password despite its 503
				t.Errorf("status is %d, want 200 or 401: %s", got.status, got.body)
			}
		})
		wg.Wait()
		for _, pair := range opened {
			if pair.AccessToken != "" {
				s.isOut(account{token: pair.AccessToken, refresh: pair.RefreshToken})
			}
		}
		if got := s.call("GET", "/users/me/sessions", nil, as(a.token)); got.status == 200 &&
			bytes.Count(got.body, []byte(`"created_at"`)) != 1 {
			t.Errorf("round %d: sessions after the change are %s, want one", round, got.body)
		}
	}
}

// TestOneOfConcurrentPasswordChangesSucceeds changes the password concurrently from four sessions. Only the first change may succeed,
// because the other requests then send a password that is no longer current.
func TestOneOfConcurrentPasswordChangesSucceeds(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 8 {
		a := s.register()
		sessions := []account{a, s.login(a), s.login(a), s.login(a)}
		var changed atomic.Int32
		var wg sync.WaitGroup
		for i, session := range sessions {
			wg.Go(func() {
				got := s.call("PUT", "/users/me/password", change(a.password, fmt.Sprint(newPassword, i)), as(session.token))
				if got.status == 200 {
					changed.Add(1)
				} else if got.status != 401 && got.status != 403 && got.status != 503 { // 503: another change of the user was running
					t.Errorf("status is %d, want 200, 401, 403 or 503: %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if changed.Load() != 1 {
			t.Fatalf("%d of the concurrent changes succeeded, want 1", changed.Load())
		}
	}
}

// TestAWrongCurrentPasswordCounts checks that a stolen access token does not allow unlimited guesses of the password. Logins are not
// affected.
func TestAWrongCurrentPasswordCounts(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	try := func(current string) answer {
		return s.call("PUT", "/users/me/password", change(current, newPassword), as(a.token))
	}
	for range 4 {
		try("wrong "+a.password).wantProblem(t, 403, "reauthentication-required")
	}
	s.call("PATCH", "/users/me", map[string]any{"email": "b@example.com", "current_password": "wrong " + a.password}, as(a.token)).
		wantProblem(t, 403, "reauthentication-required")
	for _, session := range []account{a, s.login(a)} { // a login is not refused by this backoff, and does not end it
		for name, call := range s.changesWithAPassword(session, a.password) {
			t.Log(name)
			got := call()
			got.wantProblem(t, 429, "too-many-requests")
			wantLimit(t, got, 60)
		}
	}
	s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(a.token)).want(t, 200) // a change without the password is still accepted
	if u := s.current(a); u.Email != a.Email {
		t.Errorf("email is %s, want %s", u.Email, a.Email)
	}
	if n := len(s.events(event.LockedOut)); n != 1 {
		t.Errorf("%d lockout events, want one for the fifth failure", n)
	}
	for range 4 {
		s.fail(a.Email).want(t, 401) // the failed reauthentications do not count as failed logins
	}
	s.login(a)
	s.letTimePass()
	try("wrong "+a.password).want(t, 403)
	got := try(a.password)
	got.wantProblem(t, 429, "too-many-requests")
	wantLimit(t, got, 120)
	s.letTimePass()
	a = s.changePassword(a, newPassword)
	try("wrong "+a.password).want(t, 403) // a success has cleared the count
	s.changePassword(a, goodPassword)
}

// wantLimit checks the headers of a response with a backoff of at most window seconds.
func wantLimit(t *testing.T, a answer, window int) {
	t.Helper()
	var wait, reset int
	if _, err := fmt.Sscanf(a.header.Get("RateLimit"), `"login";r=0;t=%d`, &reset); err != nil {
		t.Errorf("RateLimit is %q, want \"login\" with r=0", a.header.Get("RateLimit"))
	}
	_, _ = fmt.Sscan(a.header.Get("Retry-After"), &wait)
	if wait != reset || wait > window || wait < window-30 {
		t.Errorf("Retry-After is %d and t is %d, want them equal and from %d to %d", wait, reset, window-30, window)
	}
	if got, want := a.header.Get("RateLimit-Policy"), fmt.Sprintf(`"login";q=5;w=%d`, window); got != want {
		t.Errorf("RateLimit-Policy is %q, want %q", got, want)
	}
}

// fail attempts a login with a wrong password.
func (s *server) fail(email string) answer {
	s.t.Helper()
	return s.call("POST", "/login", map[string]any{"email": email, "password": "wrong " + goodPassword})
}

// TestTheBackoffCanBeDisabled starts a replica with MaxFailures 0 while another replica refuses logins with an email. The new replica must
// check the password in such logins.
func TestTheBackoffCanBeDisabled(t *testing.T) {
	t.Parallel()
	s := start(t)
	off := start(t, func(set *settings) { set.cfg.MaxFailures, set.database = 0, s.dsn })
	a := s.register()
	for range 5 {
		s.fail(a.Email).want(t, 401)
	}
	s.fail(a.Email).want(t, 429)
	off.fail(a.Email).wantProblem(t, 401, "invalid-credentials")
	off.login(a)
}

// patiently repeats a call while its response is 503, as on a busy machine. After [testkit.Timeout] it returns the last response.
func patiently(call func() answer) (got answer) {
	testkit.Await(context.Background(), testkit.Timeout, func() bool {
		got = call()
		return got.status != 503
	})
	return got
}

// letTimePass ends all backoffs.
func (s *server) letTimePass() {
	s.t.Helper()
	s.execute(`UPDATE login_failures SET blocked_until = now()`)
	s.execute(`UPDATE password_failures SET blocked_until = now()`)
}

func TestLoginFailuresCauseABackoff(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, email := range []string{a.Email, "nobody@example.com"} {
		for range 5 {
			s.fail(strings.ToUpper(email)).wantProblem(t, 401, "invalid-credentials")
		}
		for _, wait := range []int{60, 120, 240, 480, 900, 900} {
			for range 3 { // attempts during the backoff do not extend it
				got := s.fail(email)
				got.wantProblem(t, 429, "too-many-requests")
				wantLimit(t, got, wait)
			}
			right := s.call("POST", "/login", map[string]any{"email": email, "password": goodPassword})
			right.wantProblem(t, 429, "too-many-requests")
			wantLimit(t, right, wait)
			s.letTimePass()
			s.fail(email).wantProblem(t, 401, "invalid-credentials")
		}
	}
	s.letTimePass()
	s.login(a)
	s.fail(a.Email).want(t, 401) // the login has cleared the count
	s.login(a)
}

func TestASuccessBeforeTheFifthFailureClearsTheCount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for range 3 {
		for range 4 {
			s.fail(a.Email).want(t, 401)
		}
		s.login(a)
	}
	if n := len(s.events(event.LockedOut)); n != 0 {
		t.Errorf("%d lockout events, want none", n)
	}
	if n := s.execute(`DELETE FROM password_failures`); n != 0 {
		t.Errorf("%d rows of failures are left, want none", n)
	}
}

// TestLoginFailuresCountAcrossReplicas sends 50 concurrent guesses to two replicas. The service must check the password in at most five of
// them.
func TestLoginFailuresCountAcrossReplicas(t *testing.T) {
	t.Parallel()
	first := start(t)
	second := start(t, func(set *settings) { set.database = first.dsn })
	a := first.register()
	for _, email := range []string{a.Email, "nobody@example.com"} {
		var statuses [600]atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				replica := []*server{first, second}[i%2]
				statuses[patiently(func() answer { return replica.fail(email) }).status].Add(1)
			})
		}
		wg.Wait()
		if wrong, wait := statuses[401].Load(), statuses[429].Load(); wrong > 5 || wrong < 1 || wrong+wait != 50 {
			t.Errorf("%d attempts get 401 and %d get 429, want at most 5 and all others", wrong, wait)
		}
	}
	second.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).want(t, 429)
}

func TestConcurrentLoginsSucceed(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			patiently(func() answer {
				return s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password})
			}).want(t, 200)
		})
	}
	wg.Wait()
	if n := len(s.events(event.LoggedIn)); n < 21 {
		t.Errorf("%d login events, want at least 21", n)
	}
}

func TestZeroMaxFailuresDisablesTheBackoff(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.MaxFailures = 0 })
	a := s.register()
	for range 12 {
		s.fail(a.Email).want(t, 401)
	}
	s.login(a)
}

func TestALoginIsAnnounced(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	e, data := lastEvent[struct {
		ID      string
		Session string `json:"session_id"`
	}](t, s, event.LoggedIn)
	if e.Subject != a.ID || e.UserVersion != 1 || data.ID != a.ID.String() ||
		data.Session != s.sessions("/users/me", a.token)[0].ID.String() {
		t.Errorf("the event is %+v with %+v, want the ids of the user and the session", e, data)
	}
	s.call("PUT", a.path()+"/status", `{"status":"disabled"}`, as(s.admin().token)).want(t, 200)
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).want(t, 401)
	for _, e := range s.events(event.LoggedIn)[1:] {
		if e.Subject == a.ID {
			t.Error("a refused login has an event, want none")
		}
	}
	if u := s.current(a); u.Status != user.Disabled {
		t.Errorf("status is %s, want %s", u.Status, user.Disabled)
	}
}
