package httpapi_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

// bigRole creates a role with the given number of permissions. Each name has 96 bytes.
func (s *server) bigRole(admin account, name string, permissions int) {
	s.t.Helper()
	s.tryBigRole(admin, name, permissions).want(s.t, 200)
}

func (s *server) tryBigRole(admin account, name string, permissions int) answer {
	s.t.Helper()
	list := make([]string, permissions)
	for i := range list {
		list[i] = fmt.Sprintf("%s:%02d:%s", name, i, strings.Repeat("x", 96-4-len(name)))
	}
	return s.call("PUT", "/roles/"+name, map[string]any{"permissions": list}, as(admin.token))
}

// roleNames creates n roles without permissions and returns their names, which have the maximum length.
func (s *server) roleNames(admin account, n int) []string {
	s.t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%02d", i) + strings.Repeat("r", 62)
		s.call("PUT", "/roles/"+names[i], `{"permissions":[]}`, as(admin.token)).want(s.t, 200)
	}
	return names
}

// TestTheLargestTokenFitsIntoARequest calls the service with the largest possible access token.
func TestTheLargestTokenFitsIntoARequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	key, err := rsa.GenerateKey(rand.Reader, 4096) // the key with the longest signatures
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := s.keys(token.Keys{Secret: secret, PrivateKey: private}); err != nil {
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
			t.Errorf("errors are %+v, want one for /roles", p.Errors)
		}
		registration := user.Registration{Email: "b@example.com", Password: goodPassword}
		_, err := s.users.Create(t.Context(), access.Internal(uuid.Nil), registration, roles...)
		if err == nil || !strings.Contains(err.Error(), "/roles") {
			t.Errorf("creating an account with these roles returns %v, want an error for /roles", err)
		}
	}
	biggest := append(names[:28:28], "one", "two")
	set(biggest...).want(t, 200)
	a = s.login(a)
	if t.Logf("the token has %d bytes", len(a.token)); len(a.token) < 11700 {
		t.Errorf("the token has %d bytes, want at least 11700", len(a.token))
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
	s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
}

// TestTheSizeOfARoleIsLimitedByItsHolders checks that a change of a role is refused if the token of a holder would be too large. A change
// that only removes permissions is accepted.
func TestTheSizeOfARoleIsLimitedByItsHolders(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for _, name := range []string{"one", "two", "three", "alone"} {
		s.bigRole(admin, name, 10)
	}
	s.with("one", "two")
	s.with("two", "user")
	s.with("alone", "user")
	grow := func(name string, permissions int) answer { return s.tryBigRole(admin, name, permissions) }
	grow("one", 42).want(t, 200)
	p := grow("two", 21).wantProblem(t, 422, "validation-failed") // 63 × (96 + 3) = 6237 bytes
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/permissions" || !strings.Contains(p.Errors[0].Detail, "6237 bytes") {
		t.Errorf("errors are %+v, want one for /permissions with 6237 bytes", p.Errors)
	}
	for name, n := range map[string]int{"two": 20, "three": 42, "alone": 42, "new": 42} { // no user has two of the large roles
		grow(name, n).want(t, 200)
	}
	s.execute(`DELETE FROM user_roles WHERE role = 'one'`)
	grow("two", 42).want(t, 200)
	s.execute(`INSERT INTO user_roles SELECT user_id, 'one' FROM user_roles WHERE role = 'two'`)
	grow("two", 41).want(t, 200) // still too large, but smaller than before
	grow("two", 42).wantProblem(t, 422, "validation-failed")
	grow("two", 20).want(t, 200)
	if n := len(s.audit(admin.token, "action=privilege_permissions_changed")); n != 12 {
		t.Errorf("%d changes are in the audit trail, want the 12 accepted ones", n)
	}
}

// TestConcurrentChangesDoNotExceedTheTokenSize assigns two roles to a user while both roles grow through two replicas. The user's
// permissions must not exceed the maximum size.
func TestConcurrentChangesDoNotExceedTheTokenSize(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	admin, a := s.admin(), s.register()
	for range 10 {
		for _, name := range []string{"one", "two"} {
			s.bigRole(admin, name, 25)
		}
		s.call("PUT", a.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
		var wg sync.WaitGroup
		for _, try := range []func() answer{
			func() answer { return s.tryBigRole(admin, "one", 42) },
			func() answer { return other.tryBigRole(admin, "two", 42) },
			func() answer {
				return s.call("PUT", a.path()+"/roles", `{"roles":["one","two"]}`, as(admin.token))
			},
		} {
			wg.Go(func() {
				if got := try(); got.status != 200 && got.status != 422 {
					t.Errorf("status is %d, want 200 or 422: %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		got := s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
		if n := len(got.header.Get("X-User-Permissions")); n > 6144 {
			t.Fatalf("the user has %d bytes of permissions, want at most 6144", n)
		}
		s.call("PUT", a.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
	}
}

// TestATokenOmitsTooLargePermissions checks that a token omits all permissions if they are too large. The service still applies them.
func TestATokenOmitsTooLargePermissions(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	s.bigRole(admin, "one", 42)
	s.bigRole(admin, "two", 42)
	a := s.with("one")
	s.execute(`INSERT INTO user_roles VALUES ($1, 'two')`, a.ID)
	a = s.login(a)
	claims := struct {
		jwt.RegisteredClaims
		Roles, Permissions []string
	}{}
	if _, _, err := jwt.NewParser().ParseUnverified(a.token, &claims); err != nil {
		t.Fatal(err)
	}
	if len(claims.Permissions) != 0 || len(claims.Roles) != 2 {
		t.Errorf("the token has %d permissions and the roles %v, want none and two roles", len(claims.Permissions), claims.Roles)
	}
	got := s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
	if n := strings.Count(got.header.Get("X-User-Permissions"), ",") + 1; n != 84 {
		t.Errorf("X-User-Permissions has %d permissions, want all 84", n)
	}
}
