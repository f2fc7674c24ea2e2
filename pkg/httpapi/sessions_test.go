package httpapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"user-service/internal/testkit"
	"user-service/pkg/password"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

func TestLoginReturnsTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	got := s.call("POST", "/login", map[string]any{"email": strings.ToUpper(a.Email), "password": a.password}).want(t, 200)
	pair := decode[tokens](t, got)
	if pair.TokenType != "Bearer" || pair.ExpiresIn != 600 || pair.RefreshToken == "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the response is %+v with the header %v, want Bearer tokens for 600 s and no-store", pair, got.header)
	}
	claims := jwt.MapClaims{}
	tok, err := jwt.ParseWithClaims(pair.AccessToken, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil },
		jwt.WithIssuer(issuer), jwt.WithAudience("user-service"), jwt.WithSubject(a.ID.String()))
	if err != nil {
		t.Fatal(err)
	}
	if tok.Header["typ"] != "at+jwt" || tok.Header["alg"] != "HS256" || tok.Header["kid"] == "" {
		t.Errorf("the header of the token is %v, want at+jwt, HS256 and a kid", tok.Header)
	}
	for _, name := range []string{"iss", "aud", "sub", "iat", "exp", "jti", "sid", "roles", "permissions"} {
		if _, ok := claims[name]; !ok {
			t.Errorf("the token has no claim %s, want one", name)
		}
	}
}

// TestLoginDoesNotRevealTheAccount checks that the responses to an unknown email, a wrong password and a disabled account are equal.
func TestLoginDoesNotRevealTheAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, disabled := s.register(), s.register()
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(s.admin().token)).want(t, 200)
	var bodies []string
	for _, in := range []map[string]any{
		{"email": "nobody@example.com", "password": goodPassword},
		{"email": "no email at all", "password": goodPassword},
		{"email": a.Email, "password": "wrong " + a.password},
		{"email": disabled.Email, "password": disabled.password},
		{"email": disabled.Email, "password": "wrong " + a.password},
	} {
		got := s.call("POST", "/login", in, header("X-Request-Id", "same"))
		got.wantProblem(t, 401, "invalid-credentials")
		if strings.Contains(got.header.Get("WWW-Authenticate"), "error=") {
			t.Errorf("WWW-Authenticate is %q, want no error", got.header.Get("WWW-Authenticate"))
		}
		bodies = append(bodies, string(got.body))
	}
	for _, body := range bodies[1:] {
		if body != bodies[0] {
			t.Errorf("%s\ndiffers from\n%s", body, bodies[0])
		}
	}
}

// TestALoginFailsAfterAConcurrentChange logs in with the correct password while another transaction disables the account or changes its
// password or email. The login waits for that transaction and then fails.
func TestALoginFailsAfterAConcurrentChange(t *testing.T) {
	t.Parallel()
	for name, overtake := range map[string]string{
		"by the end of the account": `UPDATE users SET status = 'disabled' WHERE id = $1`,
		"by a new password":         `UPDATE credentials SET changed_at = clock_timestamp() WHERE user_id = $1`,
		"by a new email":            `UPDATE users SET email = 'new@example.com', email_key = 'new@example.com' WHERE id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			a, admin := s.register(), s.admin()
			conn := s.connect()
			defer func() { _ = conn.Close(t.Context()) }()
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), overtake, a.ID); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t,
					401, "invalid-credentials")
			})
			s.waitForLock()
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if e := s.audit(admin.token, "user_id="+a.ID.String())[0]; e.Action != string(user.LoginFailed) {
				t.Errorf("the newest audit entry is %+v, want %s", e, user.LoginFailed)
			}
			if n := s.execute(`DELETE FROM password_failures WHERE failures = 1`); n != 1 {
				t.Errorf("%d rows have one failure, want 1", n)
			}
		})
	}
}

// waitForLock waits until a database session waits for a lock.
func (s *server) waitForLock() {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	postgrestest.WaitForLock(s.t, conn)
}

func TestLoginForm(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := s.call("POST", "/login", `{"password":"`+strings.Repeat("x", 129)+`","otp":1}`).wantProblem(t, 422, "validation-failed")
	if len(p.Errors) != 3 {
		t.Errorf("errors are %+v, want three", p.Errors)
	}
	a := s.register()
	got := s.call("POST", "/login", map[string]any{"email": a.Email + "\x00", "password": a.password})
	got.wantProblem(t, 422, "validation-failed")
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	first := decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(t, 200))
	if first.RefreshToken == a.refresh {
		t.Error("the refresh returns the same refresh token, want a new one")
	}
	again := decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(t, 200))
	if again.RefreshToken != first.RefreshToken {
		t.Error("within the grace the used token returns another successor, want the same one")
	}
	second := decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": first.RefreshToken}).want(t, 200))
	s.call("GET", "/users/me", nil, as(second.AccessToken)).want(t, 200)

	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).wantProblem(t, 401, "invalid-refresh-token")
	for _, token := range []string{second.RefreshToken, first.RefreshToken} { // the reuse ended the session
		s.call("POST", "/refresh", map[string]any{"refresh_token": token}).wantProblem(t, 401, "invalid-refresh-token")
	}
	s.call("GET", "/users/me", nil, as(second.AccessToken)).wantProblem(t, 401, "invalid-access-token")
	for _, token := range []string{"x", strings.Repeat("A", 75), second.RefreshToken[1:], a.token} {
		s.call("POST", "/refresh", map[string]any{"refresh_token": token}).wantProblem(t, 401, "invalid-refresh-token")
	}
	s.call("POST", "/refresh", `{}`).wantProblem(t, 422, "validation-failed")
}

func TestConcurrentRefreshesReturnOneSuccessor(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	pairs := make([]tokens, 20)
	var wg sync.WaitGroup
	for i := range pairs {
		wg.Go(func() {
			pairs[i] = decode[tokens](t, patiently(func() answer {
				return s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh})
			}))
		})
	}
	wg.Wait()
	for _, p := range pairs {
		if p.RefreshToken != pairs[0].RefreshToken || p.AccessToken == "" {
			t.Fatalf("the tokens are %+v, want an access token and the refresh token of %+v", p, pairs[0])
		}
	}
	s.call("POST", "/refresh", map[string]any{"refresh_token": pairs[0].RefreshToken}).want(t, 200)
}

func TestLogoutEndsTheSession(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	other := s.login(a)
	s.call("POST", "/logout", nil, as(a.token)).want(t, 204)
	s.call("GET", "/users/me", nil, as(a.token)).wantProblem(t, 401, "invalid-access-token")
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).wantProblem(t, 401, "invalid-refresh-token")
	s.call("GET", "/users/me", nil, as(other.token)).want(t, 200)
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.RefreshIdleTTL = 300 * time.Millisecond })
	a := s.register()
	testkit.WaitFor(t, "the end of the session", func() bool { return s.call("GET", "/users/me", nil, as(a.token)).status == 401 })
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).wantProblem(t, 401, "invalid-refresh-token")
}

func TestBearer(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for name, c := range map[string]struct {
		value   string
		problem string
		error   bool
	}{
		"none":          {"", "authentication-required", false},
		"basic":         {"Basic YTpi", "authentication-required", false},
		"no token":      {"Bearer ", "invalid-access-token", true},
		"garbage":       {"Bearer garbage", "invalid-access-token", true},
		"refresh token": {"Bearer " + a.refresh, "invalid-access-token", true},
		"cut":           {"Bearer " + a.token[:len(a.token)-2], "invalid-access-token", true},
	} {
		var options []option
		if c.value != "" {
			options = append(options, header("Authorization", c.value))
		}
		got := s.call("GET", "/users/me", nil, options...)
		got.wantProblem(t, 401, c.problem)
		challenge := got.header.Get("WWW-Authenticate")
		if !strings.HasPrefix(challenge, "Bearer") || strings.Contains(challenge, `error="invalid_token"`) != c.error {
			t.Errorf("%s: WWW-Authenticate is %q, want Bearer, with invalid_token: %t", name, challenge, c.error)
		}
	}
	s.call("GET", "/users/me", nil, header("Authorization", "bearer "+a.token)).want(t, 200)
	s.call("GET", "/users/me", nil, as(a.token), func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+a.token) }).
		wantProblem(t, 401, "invalid-access-token")
}

func TestOverloadIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits = password.Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second} })
	has, release := s.takeSlot()
	<-has
	login := map[string]any{"email": "ada@example.com", "password": goodPassword}
	refused := s.call("POST", "/login", login)
	refused.wantProblem(t, 503, "overloaded")
	if refused.header.Get("Retry-After") == "" {
		t.Error("the response has no Retry-After, want one")
	}
	release()
	testkit.WaitFor(t, "a login after the overload", func() bool { return s.call("POST", "/login", login).status == 401 })
}

func TestADisabledUserLosesAccessImmediately(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	s.call("PUT", a.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	s.call("GET", "/users/me", nil, as(a.token)).wantProblem(t, 401, "invalid-access-token")
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).wantProblem(t, 401, "invalid-refresh-token")
	u := decode[user.User](t, s.call("PUT", a.path()+"/status", `{"status":"active"}`, as(admin.token)).want(t, 200))
	if u.Version != 3 {
		t.Errorf("version is %d, want 3", u.Version)
	}
	s.call("GET", "/users/me", nil, as(a.token)).wantProblem(t, 401, "invalid-access-token")
	s.login(a)
}

// TestAUserAgentIsShownWithoutInvisibleCharacters checks that invisible characters are removed, because they could change the text
// direction or the state of a terminal.
func TestAUserAgentIsShownWithoutInvisibleCharacters(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	agent := header("User-Agent", "Mozilla\u202e/5.0 \u009b31m(\u200bX11\u3164)")
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}, agent).want(t, 200)
	got, want := s.call("GET", "/users/me/sessions", nil, as(a.token)).want(t, 200), `"Mozilla/5.0 31m(X11)"`
	if !strings.Contains(string(got.body), want) {
		t.Errorf("the sessions are %s, want one with %s", got.body, want)
	}
}
