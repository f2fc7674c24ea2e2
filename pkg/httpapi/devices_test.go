package httpapi_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// session is a session as the API returns it.
type session struct {
	ID         uuid.UUID
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	UserAgent  string    `json:"user_agent"`
	IP         string
	Current    bool
}

func (s *server) sessions(path, token string) []session {
	s.t.Helper()
	return decode[struct{ Items []session }](s.t, s.call("GET", path+"/sessions", nil, as(token)).want(s.t, 200)).Items
}

// loginFrom logs in with a User-Agent.
func (s *server) loginFrom(a account, agent string) account {
	s.t.Helper()
	in := map[string]any{"email": a.Email, "password": a.password}
	got := decode[tokens](s.t, s.call("POST", "/login", in, header("User-Agent", agent)).want(s.t, 200))
	a.token, a.refresh = got.AccessToken, got.RefreshToken
	return a
}

func TestAUserListsItsSessions(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	phone := s.loginFrom(a, "a phone \xff")
	list := s.sessions("/users/me", phone.token)
	if len(list) != 2 || list[0].UserAgent != "a phone " || !list[0].Current || list[1].Current {
		t.Fatalf("sessions are %+v, want the phone as the current one, then another one", list)
	}
	for _, device := range list {
		idle := device.ExpiresAt.Sub(device.LastUsedAt)
		unused := device.LastUsedAt.Equal(device.CreatedAt)
		if device.IP != "127.0.0.1" || !unused || idle != time.Hour || time.Since(device.CreatedAt) > time.Minute {
			t.Errorf("the session is %+v, want a new one from 127.0.0.1 that expires after an hour", device)
		}
	}
	if other := s.sessions("/users/me", a.token); other[0].Current || !other[1].Current {
		t.Errorf("sessions are %+v, want the second as the current one", other)
	}

	in := map[string]any{"refresh_token": phone.refresh}
	s.call("POST", "/refresh", in, header("User-Agent", "the phone, updated")).want(t, 200)
	rotated := s.sessions("/users/me", phone.token)[0]
	later := rotated.LastUsedAt.After(list[0].LastUsedAt) && rotated.ExpiresAt.After(list[0].ExpiresAt)
	if rotated.ID != list[0].ID || rotated.UserAgent != "the phone, updated" || !later {
		t.Errorf("after a refresh the session is %+v, want a new User-Agent and later times than in %+v", rotated, list[0])
	}
}

func TestSessionsAreEnded(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	tablet, phone := s.loginFrom(a, "tablet"), s.loginFrom(a, "phone")
	for _, device := range s.sessions("/users/me", a.token) {
		if device.UserAgent == "tablet" {
			s.call("DELETE", "/users/me/sessions/"+device.ID.String(), nil, as(a.token)).want(t, 204)
			s.call("DELETE", "/users/me/sessions/"+device.ID.String(), nil, as(a.token)).wantProblem(t, 404, "not-found")
		}
	}
	s.isOut(tablet)
	s.call("GET", "/users/me", nil, as(phone.token)).want(t, 200)

	s.call("DELETE", "/users/me/sessions", nil, as(phone.token)).want(t, 204)
	s.isOut(phone)
	s.isOut(a)
	if u := s.current(s.login(a)); u.Version != 1 {
		t.Errorf("version is %d, want 1: the end of a session does not change the user", u.Version)
	}
}

// isOut checks that the access token and the refresh token of a's session are refused.
func (s *server) isOut(a account) {
	s.t.Helper()
	s.call("GET", "/users/me", nil, as(a.token)).wantProblem(s.t, 401, "invalid-access-token")
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).wantProblem(s.t, 401, "invalid-refresh-token")
}

func TestSessionsOfOtherUsers(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, other, admin := s.register(), s.register(), s.admin()
	mine, theirs := s.sessions("/users/me", a.token)[0].ID.String(), s.sessions(other.path(), admin.token)
	if len(theirs) != 1 || theirs[0].Current {
		t.Errorf("sessions are %+v, want one that is not the admin's", theirs)
	}
	// A session exists only under the path of its own user.
	s.call("DELETE", "/users/me/sessions/"+theirs[0].ID.String(), nil, as(a.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", other.path()+"/sessions/"+mine, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", other.path()+"/sessions/"+theirs[0].ID.String(), nil, as(a.token)).wantProblem(t, 403, "forbidden")
	for _, path := range []string{"/users/me", other.path()} { // the caller itself and another user
		s.call("DELETE", path+"/sessions/1", nil, as(a.token)).wantProblem(t, 400, "invalid-parameter")
		s.call("DELETE", path+"/sessions/me", nil, as(a.token)).wantProblem(t, 400, "invalid-parameter")
	}
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 200)

	s.call("DELETE", other.path()+"/sessions/"+theirs[0].ID.String(), nil, as(admin.token)).want(t, 204)
	s.isOut(other)
	s.call("DELETE", a.path()+"/sessions", nil, as(admin.token)).want(t, 204)
	s.isOut(a)
	s.call("GET", "/users/me", nil, as(admin.token)).want(t, 200)

	nobody := "/users/" + uuid.Must(uuid.NewV7()).String() + "/sessions"
	s.call("GET", nobody, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", nobody, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", nobody+"/"+mine, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	if left := s.sessions(a.path(), admin.token); left == nil || len(left) != 0 {
		t.Errorf("sessions are %+v, want an empty list", left)
	}
}

func TestAnExpiredSessionIsNotListed(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	s.execute(`UPDATE sessions SET expires_at = now() WHERE user_id = $1`, a.ID)
	if list := s.sessions(a.path(), admin.token); len(list) != 0 {
		t.Errorf("sessions are %+v, want none", list)
	}
	s.isOut(a)
}

func TestRefreshTokenReuseEndsItsSessionOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	other := s.login(a)
	second := decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(t, 200))
	s.execute(`UPDATE sessions SET turned_at = turned_at - interval '10.5 seconds'`)
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}, header("X-Request-Id", "thief")).
		wantProblem(t, 401, "invalid-refresh-token")
	s.isOut(account{token: second.AccessToken, refresh: second.RefreshToken})
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 200)
	entries := s.audit(admin.token, "action="+string(user.TokenReused))
	if len(entries) != 1 || *entries[0].UserID != a.ID || entries[0].ActorID != nil || entries[0].RequestID != "thief" {
		t.Errorf("entries are %+v, want one about the user, without an actor, with the request id thief", entries)
	}
}

// TestTheLeastRecentlyUsedSessionIsEnded opens sessions above the limit. The least recently used session ends. Expired sessions do not
// count.
func TestTheLeastRecentlyUsedSessionIsEnded(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, other, admin := s.register(), s.register(), s.admin()
	recent := s.login(a)
	s.execute(`INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at)
		SELECT gen_random_uuid(), $1, 0, now(), now() - n * interval '1 second', now() + interval '1 hour' FROM generate_series(1, 97) n`,
		a.ID)
	s.execute(`INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at)
		SELECT gen_random_uuid(), $1, 0, now(), now(), now() FROM generate_series(1, 9) n`, a.ID)
	for _, device := range s.sessions("/users/me", a.token) {
		if device.Current { // a's own session was opened first; make it the least recently used one
			s.execute(`UPDATE sessions SET turned_at = now() - interval '1 hour' WHERE id = $1`, device.ID)
		}
	}
	s.login(a) // the hundredth session
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
	if n := len(s.audit(admin.token, "action="+string(user.TokenRevoked))); n != 0 {
		t.Errorf("%d sessions were ended for the hundredth one, want none", n)
	}
	last := s.login(a)
	s.isOut(a)
	if n := len(s.sessions("/users/me", last.token)); n != user.MaxSessions {
		t.Errorf("%d sessions, want %d", n, user.MaxSessions)
	}
	s.call("GET", "/users/me", nil, as(recent.token)).want(t, 200)
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 200)
	ended := s.audit(admin.token, "user_id="+a.ID.String()+"&action="+string(user.TokenRevoked))
	if len(ended) != 1 || ended[0].what() != `authn_token_revoked {"reason":"too_many_sessions","sessions":1}` {
		t.Errorf("entries about the ended session are %+v, want one with the reason too_many_sessions", ended)
	}
}

// audit reads one page of the audit trail.
func (s *server) audit(token, query string) []entry {
	s.t.Helper()
	return decode[struct{ Items []entry }](s.t, s.call("GET", "/audit-events?"+query, nil, as(token)).want(s.t, 200)).Items
}
