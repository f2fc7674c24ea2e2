package httpapi_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/token"
	"user-service/pkg/user"
)

// bigRole makes a role of so many permissions with names of 96 bytes.
func (s *server) bigRole(admin account, name string, permissions int) {
	s.t.Helper()
	list := make([]string, permissions)
	for i := range list {
		list[i] = fmt.Sprintf("%s:%02d:%s", name, i, strings.Repeat("x", 96-4-len(name)))
	}
	s.call("PUT", "/roles/"+name, map[string]any{"permissions": list}, as(admin.token)).want(s.t, 200)
}

// roleNames makes so many roles without permissions, with names as long as can be.
func (s *server) roleNames(admin account, n int) []string {
	s.t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%02d", i) + strings.Repeat("r", 62)
		s.call("PUT", "/roles/"+names[i], `{"permissions":[]}`, as(admin.token)).want(s.t, 200)
	}
	return names
}

// TestTheBiggestTokenIsGood for a call of this service: it fits into the header of a request.
func TestTheBiggestTokenIsGood(t *testing.T) {
	t.Parallel()
	s := start(t)
	key, err := rsa.GenerateKey(rand.Reader, 4096) // whose signatures are the longest
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keys(token.Keys{Secret: secret, PrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}); err != nil {
		t.Fatal(err)
	}
	admin, a := s.admin(), s.register()
	s.bigRole(admin, "one", 40)
	s.bigRole(admin, "two", 22) // 62 × (96 + 3) = 6138 bytes
	s.bigRole(admin, "three", 1)
	names := s.roleNames(admin, 29)
	set := func(roles ...string) answer {
		return s.call("PUT", a.path()+"/roles", map[string]any{"roles": roles}, as(admin.token))
	}
	for _, roles := range [][]string{{"one", "two", "three"}, append(names, "one", "two")} {
		p := set(roles...).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || !containsPointer(p.Errors, "/roles") {
			t.Errorf("%+v", p.Errors)
		}
		_, err := s.users.Create(t.Context(), user.Registration{Email: "b@example.com", Password: goodPassword}, roles...)
		if err == nil || !strings.Contains(err.Error(), "/roles") {
			t.Errorf("an account is made with roles that it can't be given later: %v", err)
		}
	}
	biggest := append(names[:28:28], "one", "two")
	set(biggest...).want(t, 200)
	a = s.login(a)
	if t.Logf("a token of %d bytes", len(a.token)); len(a.token) < 11700 {
		t.Error("is not the biggest one")
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
	s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
}

// TestATokenStaysSmallWhenARoleGrows: too much is left out as a whole, and the service itself still knows it.
func TestATokenStaysSmallWhenARoleGrows(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for _, name := range []string{"one", "two"} {
		s.bigRole(admin, name, 10)
	}
	a := s.with("one", "two")
	for _, name := range []string{"one", "two"} {
		s.bigRole(admin, name, 42)
	}
	a = s.login(a)
	claims := struct {
		jwt.RegisteredClaims
		Roles, Permissions []string
	}{}
	if _, _, err := jwt.NewParser().ParseUnverified(a.token, &claims); err != nil {
		t.Fatal(err)
	}
	if len(claims.Permissions) != 0 || len(claims.Roles) != 2 {
		t.Errorf("%d permissions and the roles %v", len(claims.Permissions), claims.Roles)
	}
	got := s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
	if n := strings.Count(got.header.Get("X-User-Permissions"), ",") + 1; n != 84 {
		t.Errorf("%d permissions, want all 84", n)
	}
}
