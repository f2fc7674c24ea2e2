package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

func (s *server) roles(token string) map[string]access.Role {
	s.t.Helper()
	byName := map[string]access.Role{}
	for _, r := range decode[struct{ Items []access.Role }](s.t, s.call("GET", "/roles", nil, as(token)).want(s.t, 200)).Items {
		byName[r.Name] = r
	}
	return byName
}

func TestACustomRole(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	put := func(body string) access.Role {
		return decode[access.Role](t, s.call("PUT", "/roles/support", body, as(admin.token)).want(t, 200))
	}
	want := access.Role{Name: "support", Description: "Answers", Permissions: []access.Permission{"orders:refund", "users:read"}}
	got := put(`{"name":"ignored","description":"Answers","permissions":["users:read","orders:refund","users:read"]}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the role in the response (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, s.roles(admin.token)["support"]); diff != "" {
		t.Errorf("the listed role (-want +got):\n%s", diff)
	}

	s.call("GET", "/users", nil, as(a.token)).wantProblem(t, 403, "forbidden")
	s.call("PUT", a.path()+"/roles", `{"roles":["user","support"]}`, as(admin.token)).want(t, 200)
	s.call("GET", "/users", nil, as(a.token)).want(t, 200) // the token was issued before the change
	wantIdentity(t, s.call("GET", "/verify", nil, as(a.token)), a, "support,user", "orders:refund,users:read")

	if r := put(`{"permissions":[]}`); r.Description != "" || r.Permissions == nil || len(r.Permissions) != 0 {
		t.Errorf("the role is %+v, want the omitted fields cleared", r)
	}
	s.call("GET", "/users", nil, as(a.token)).wantProblem(t, 403, "forbidden")
	wantIdentity(t, s.call("GET", "/verify", nil, as(a.token)), a, "support,user", "")
	if u := s.current(a); u.Version != 2 {
		t.Errorf("version is %d, want 2: a change of a role does not change its holders", u.Version)
	}
}

func TestADeletedRoleIsGone(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	s.call("PUT", "/roles/support", `{"permissions":["users:read"]}`, as(admin.token)).want(t, 200)
	holder, only, other := s.with("support", "user"), s.with("support"), s.register()
	s.call("DELETE", "/roles/support", nil, as(admin.token)).want(t, 204)
	s.call("DELETE", "/roles/support", nil, as(admin.token)).wantProblem(t, 404, "not-found")
	if _, there := s.roles(admin.token)["support"]; there {
		t.Error("the role is still listed, want it deleted")
	}
	s.call("GET", "/users", nil, as(holder.token)).wantProblem(t, 403, "forbidden")
	for _, c := range []struct {
		account
		roles   []string
		version int64
	}{{holder, []string{"user"}, 2}, {only, []string{}, 2}, {other, []string{"user"}, 1}} {
		if u := s.current(c.account); u.Version != c.version || !slices.Equal(u.Roles, c.roles) {
			t.Errorf("the user is %+v, want version %d and the roles %v", u, c.version, c.roles)
		}
	}
	events := s.events(event.UserUpdated)
	e, change := lastEvent[updated](t, s, event.UserUpdated)
	if len(events) != 2 || events[0].Subject != holder.ID || e.Subject != only.ID || e.UserVersion != 2 {
		t.Errorf("events are %+v, want one for each of the two holders", events)
	}
	want := updated{User: s.current(only), Changed: []string{"roles"}, Previous: map[string]any{"roles": []any{"support"}}}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Errorf("the data of the event (-want +got):\n%s", diff)
	}
	s.call("PUT", other.path()+"/roles", `{"roles":["support"]}`, as(admin.token)).wantProblem(t, 422, "validation-failed")
}

func TestTheBuiltInRolesAreProtected(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	for _, name := range []string{"admin", "user"} {
		s.call("DELETE", "/roles/"+name, nil, as(admin.token)).wantProblem(t, 409, "built-in-role")
	}
	for _, permissions := range []string{`[]`, `["users:read","users:write","users:delete","roles:read","roles:write","roles:assign"]`} {
		s.call("PUT", "/roles/admin", `{"permissions":`+permissions+`}`, as(admin.token)).wantProblem(t, 409, "built-in-role")
	}
	var all []string
	for _, p := range access.Permissions() {
		all = append(all, string(p))
	}
	s.call("PUT", "/roles/admin", map[string]any{"permissions": append(all, "orders:refund")}, as(admin.token)).want(t, 200)
	s.call("PUT", "/roles/user", `{"permissions":["orders:read"]}`, as(admin.token)).want(t, 200)
	wantIdentity(t, s.call("GET", "/verify", nil, as(a.token)), a, "user", "orders:read")
}

func TestAnInvalidRoleIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for _, name := range []string{"Support", "-x", "a,b", "a%20b", "%C3%BC", strings.Repeat("a", 65)} {
		s.call("PUT", "/roles/"+name, `{"permissions":[]}`, as(admin.token)).wantProblem(t, 400, "invalid-parameter")
		s.call("DELETE", "/roles/"+name, nil, as(admin.token)).wantProblem(t, 400, "invalid-parameter")
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("p:", i)
	}
	for name, c := range map[string]struct {
		body    any
		pointer string
	}{
		"none":        {`{}`, "/permissions"},
		"no list":     {`{"permissions":"users:read"}`, "/permissions"},
		"no name":     {`{"permissions":["a",7]}`, "/permissions/1"},
		"comma":       {`{"permissions":["a,b"]}`, "/permissions/0"},
		"space":       {`{"permissions":["a b"]}`, "/permissions/0"},
		"line":        {`{"permissions":["a\nb"]}`, "/permissions/0"},
		"upper":       {`{"permissions":["Users:read"]}`, "/permissions/0"},
		"empty":       {`{"permissions":[""]}`, "/permissions/0"},
		"long":        {map[string]any{"permissions": []string{strings.Repeat("a", 129)}}, "/permissions/0"},
		"too much":    {map[string]any{"permissions": slices.Repeat([]string{strings.Repeat("a", 128)}, 33)}, "/permissions"},
		"many":        {map[string]any{"permissions": many}, "/permissions"},
		"description": {map[string]any{"permissions": []string{}, "description": strings.Repeat("ü", 257)}, "/description"},
		"unknown":     {`{"permissions":[],"users":[]}`, "/users"},
	} {
		p := s.call("PUT", "/roles/support", c.body, as(admin.token)).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || !containsPointer(p.Errors, c.pointer) {
			t.Errorf("%s: errors are %+v, want one for %s", name, p.Errors, c.pointer)
		}
	}
	if n := len(s.roles(admin.token)); n != 2 {
		t.Errorf("%d roles, want the two built-in ones", n)
	}
}

func TestARoleWithTooManyHoldersCannotBeDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	s.call("PUT", "/roles/support", `{"permissions":[]}`, as(admin.token)).want(t, 200)
	s.execute(`INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n, n, 'active', 1, now(), now() FROM generate_series(1, 1001) n`)
	s.execute(`INSERT INTO user_roles SELECT id, 'support' FROM users WHERE id <> $1`, admin.ID)
	s.call("DELETE", "/roles/support", nil, as(admin.token)).wantProblem(t, 409, "role-in-use")
}

// wantIdentity checks the identity headers of a response of /verify.
func wantIdentity(t *testing.T, got answer, a account, roles, permissions string) {
	t.Helper()
	got.want(t, 204)
	for name, want := range map[string]string{
		"X-User-Id": a.ID.String(), "X-User-Email-Verified": "false",
		"X-User-Roles": roles, "X-User-Permissions": permissions, "Cache-Control": "no-store",
	} {
		if values := got.header.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s is %q, want %q", name, values, want)
		}
	}
}

func TestVerifyReflectsChangesImmediately(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a, disabled, erased := s.admin(), s.register(), s.register(), s.register()
	wantIdentity(t, s.call("GET", "/verify", nil, as(a.token)), a, "user", "")
	wantIdentity(t, s.call("HEAD", "/verify", nil, as(admin.token)), admin, "admin",
		"audit:read,roles:assign,roles:read,roles:write,tokens:introspect,users:delete,users:read,users:write")
	got := s.call("GET", "/verify", nil)
	got.wantProblem(t, 401, "authentication-required")
	if challenge := got.header.Get("WWW-Authenticate"); strings.Contains(challenge, "error") {
		t.Errorf("WWW-Authenticate is %q, want no error without a token", challenge)
	}
	s.call("GET", "/verify", nil, as("x")).wantProblem(t, 401, "invalid-access-token")

	s.call("PUT", a.path()+"/roles", `{"roles":["admin"]}`, as(admin.token)).want(t, 200)
	if roles := s.call("GET", "/verify", nil, as(a.token)).want(t, 204).header.Get("X-User-Roles"); roles != "admin" {
		t.Errorf("X-User-Roles is %q, want admin", roles)
	}
	s.call("PUT", a.path()+"/roles", `{"roles":[]}`, as(admin.token)).want(t, 200)
	wantIdentity(t, s.call("GET", "/verify", nil, as(a.token)), a, "", "")
	s.call("POST", "/logout", nil, as(a.token)).want(t, 204)
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	s.call("DELETE", "/users/me", nil, as(erased.token)).want(t, 204)
	for _, gone := range []account{a, disabled, erased} {
		got := s.call("GET", "/verify", nil, as(gone.token))
		got.wantProblem(t, 401, "invalid-access-token")
		if id := got.header.Get("X-User-Id"); id != "" {
			t.Errorf("X-User-Id is %q, want no such header", id)
		}
	}
}
