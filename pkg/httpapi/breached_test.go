package httpapi_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"user-service/pkg/pwned"
	"user-service/pkg/user"
)

// breached returns a range API that knows a password.
func breached(t *testing.T, password string) *pwned.Client {
	t.Helper()
	sum := sha1.Sum([]byte(password))
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s:0\r\n", strings.Repeat("0", 35))
		if strings.HasSuffix(r.URL.Path, "/range/"+digits[:5]) {
			_, _ = fmt.Fprintf(w, "%s:3\r\n", digits[5:])
		}
	}))
	t.Cleanup(server.Close)
	return pwned.New(pwned.Config{URL: server.URL + "/range/"})
}

// TestABreachedPasswordIsRefused sets a password of a data breach in each operation that accepts a new password. Nothing changes, and a
// reset token stays valid.
func TestABreachedPasswordIsRefused(t *testing.T) {
	t.Parallel()
	const bad = "eight silver spoons shine"
	s := start(t, func(set *settings) { set.cfg.Breaches = breached(t, bad) })
	a := s.register()
	reset := s.askForReset(a.Email)
	for pointer, got := range map[string]answer{
		"/password": s.call("POST", "/register", map[string]any{"email": "new@example.com", "password": bad}),
		"/new_password": s.call("PUT", "/users/me/password",
			map[string]any{"current_password": goodPassword, "new_password": bad}, as(a.token)),
		"/new_password ": s.confirmReset(reset, bad),
	} {
		p := got.wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != strings.TrimSpace(pointer) || p.Errors[0].Code != user.Breached {
			t.Errorf("the errors are %+v, want %s %s", p.Errors, pointer, user.Breached)
		}
	}
	s.registerAs("new@example.com")
	s.login(a)
	s.confirmReset(reset, newPassword).want(t, 204)
}
