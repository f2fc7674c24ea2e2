package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestLogoutWithARefreshToken covers valid and invalid access tokens, and used and unused refresh tokens.
func TestLogoutWithARefreshToken(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limit = 100 })
	a := s.register()
	b := s.login(a)
	logout := func(body any, with ...option) answer { return s.call("POST", "/logout", body, with...) }
	used := a.refresh
	a.refresh = decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": used}).want(t, 200)).RefreshToken
	logout(map[string]any{"refresh_token": used}, as(b.token)).want(t, 204) // ends a's session, not b's
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 401)
	s.call("GET", "/users/me", nil, as(b.token)).want(t, 200)
	logout(map[string]any{"refresh_token": used}).want(t, 204) // again
	logout(map[string]any{"refresh_token": a.refresh}, as("no token")).want(t, 204)
	logout(map[string]any{"refresh_token": b.refresh}).want(t, 204)
	s.call("GET", "/users/me", nil, as(b.token)).want(t, 401)

	c := s.login(a)
	for name, token := range map[string]string{"none": "", "made up": "x", "forged": flipped(c.refresh), "an access token": c.token} {
		got := logout(map[string]any{"refresh_token": token}, as(c.token))
		if got.status != 401 || !strings.Contains(string(got.body), "/problems/invalid-refresh-token") {
			t.Errorf("%s: status is %d, want 401 and invalid-refresh-token: %s", name, got.status, got.body)
		}
	}
	logout(`{"refresh_token":1}`, as(c.token)).wantProblem(t, 422, "validation-failed")
	logout(`{"token":"x"}`, as(c.token)).wantProblem(t, 422, "validation-failed")
	logout(`[]`, as(c.token)).wantProblem(t, 400, "malformed-request")
	logout(`{"refresh_token":"`+strings.Repeat("x", 5000)+`"}`, as(c.token)).wantProblem(t, 413, "content-too-large")
	plainText := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	logout(`{}`, plainText, as(c.token)).wantProblem(t, 415, "unsupported-media-type")
	for _, body := range []any{nil, `{}`, `{"refresh_token":null}`} {
		logout(body).wantProblem(t, 401, "authentication-required")
	}
	s.call("GET", "/users/me", nil, as(c.token)).want(t, 200) // the refused requests did not end the session
	logout(`{}`, as(c.token)).want(t, 204)
	s.call("GET", "/users/me", nil, as(c.token)).want(t, 401)
	d := s.login(a)
	logout(`{"refresh_token":null}`, as(d.token)).want(t, 204)
	s.call("GET", "/users/me", nil, as(d.token)).want(t, 401)
}

// TestAPatchOfAReadOnlyFieldIsRefused checks that the error names the field and the request that changes it.
func TestAPatchOfAReadOnlyFieldIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for field, request := range map[string]string{
		"id": "", "version": "", "created_at": "", "updated_at": "",
		"email_verified": "POST /email-verification", "roles": "PUT /users/{id}/roles", "status": "PUT /users/{id}/status",
	} {
		got := s.call("PATCH", "/users/me", map[string]any{field: nil, "name": "Ada"}, as(a.token))
		got.wantProblem(t, 422, "validation-failed")
		if !strings.Contains(string(got.body), `"pointer":"/`+field+`"`) || !strings.Contains(string(got.body), request) {
			t.Errorf("%s: the problem is %s, want the pointer and %q in it", field, got.body, request)
		}
	}
	if u := s.call("GET", "/users/me", nil, as(a.token)).want(t, 200); strings.Contains(string(u.body), "Ada") {
		t.Errorf("the user is %s, want it unchanged", u.body)
	}
}
