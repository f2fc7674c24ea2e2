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

// bigRole makes a role of so many permissions with names of 96 bytes.
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
		_, err := s.users.Create(t.Context(), access.Internal(uuid.Nil), user.Registration{Email: "b@example.com", Password: goodPassword}, roles...)
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

// TestARoleGrowsAsFarAsTheTokensOfItsUsers: what would make one of them too big is refused, and what takes away is not.
func TestARoleGrowsAsFarAsTheTokensOfItsUsers(t *testing.T) {
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
		t.Errorf("%+v", p.Errors)
	}
	for name, n := range map[string]int{"two": 20, "three": 42, "alone": 42, "new": 42} { // nobody has both of two big ones
		grow(name, n).want(t, 200)
	}
	s.execute(`DELETE FROM user_roles WHERE role = 'one'`)
	grow("two", 42).want(t, 200)
	s.execute(`INSERT INTO user_roles SELECT user_id, 'one' FROM user_roles WHERE role = 'two'`)
	grow("two", 41).want(t, 200) // less than there was, if still too much
	grow("two", 42).wantProblem(t, 422, "validation-failed")
	grow("two", 20).want(t, 200)
	if n := len(s.audit(admin.token, "action=privilege_permissions_changed")); n != 12 {
		t.Errorf("%d changes are noted, want those 12 that were made", n)
	}
}

// TestNoRaceMakesATokenTooBig gives a role to users while it and another one of theirs grow, over two replicas.
func TestNoRaceMakesATokenTooBig(t *testing.T) {
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
					t.Errorf("status is %d: %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		got := s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
		if n := len(got.header.Get("X-User-Permissions")); n > 6144 {
			t.Fatalf("the user has %d bytes of permissions", n)
		}
		s.call("PUT", a.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
	}
}

// TestATokenStaysSmallWhateverIsStored: too much is left out as a whole, and the service itself still knows it.
func TestATokenStaysSmallWhateverIsStored(t *testing.T) {
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
		t.Errorf("%d permissions and the roles %v", len(claims.Permissions), claims.Roles)
	}
	got := s.call("GET", "/verify", nil, as(a.token)).want(t, 204)
	if n := strings.Count(got.header.Get("X-User-Permissions"), ",") + 1; n != 84 {
		t.Errorf("%d permissions, want all 84", n)
	}
}
