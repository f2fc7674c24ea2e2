package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/access"
)

// putFactorRole stores a role as an administrator.
func (s *server) putFactorRole(admin account, name string, secondFactor bool, permissions ...access.Permission) {
	s.t.Helper()
	body := map[string]any{"permissions": permissions, "second_factor": secondFactor}
	s.call("PUT", "/roles/"+name, body, as(admin.token)).want(s.t, 200)
}

// permissions returns the permissions in the token of an account, and the permissions that /verify returns.
func (s *server) permissions(a account) (inToken, verified string) {
	s.t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(a.token, claims); err != nil {
		s.t.Fatal(err)
	}
	verify := s.call("GET", "/verify", nil, as(a.token)).want(s.t, 204)
	return strings.Trim(fmt.Sprint(claims["permissions"]), "[]"), verify.header.Get("X-User-Permissions")
}

// TestARoleRequiresASecondFactor checks that the permissions of such a role count only in sessions with a second factor: at the service, in
// tokens and at /verify. Changes take effect immediately.
func TestARoleRequiresASecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, target := s.admin(), s.register()
	s.putFactorRole(admin, "support", false, access.UsersRead, "orders:refund")
	s.putFactorRole(admin, "clerk", false, "orders:read")
	a := s.with("support", "clerk")
	p := s.enroll(a) // the session keeps its methods
	b := s.loginWith(a, p)
	wants := func(of account, status int, token, verified string) {
		t.Helper()
		got := s.call("GET", target.path(), nil, as(of.token))
		if status == 403 {
			got.wantProblem(t, 403, "second-factor-required")
			s.call("GET", admin.path()[:len(admin.path())-1]+"0", nil, as(of.token)).wantProblem(t, 403, "second-factor-required")
		}
		got.want(t, status)
		if inToken, atVerify := s.permissions(of); inToken != token || atVerify != verified {
			t.Errorf("the permissions are %q in the token and %q at /verify, want %q and %q", inToken, atVerify, token, verified)
		}
	}
	const all = "orders:read orders:refund users:read"
	withCommas := strings.ReplaceAll(all, " ", ",")
	wants(a, 200, all, withCommas)
	wants(b, 200, all, withCommas)
	s.putFactorRole(admin, "support", true, access.UsersRead, "orders:refund")
	wants(a, 403, all, "orders:read")
	wants(b, 200, all, withCommas)
	for _, of := range []struct {
		account
		token string
	}{{a, "orders:read"}, {b, all}} {
		got := decode[tokens](t, s.call("POST", "/refresh", map[string]any{"refresh_token": of.refresh}).want(t, 200))
		of.account.token = got.AccessToken
		if inToken, _ := s.permissions(of.account); inToken != of.token {
			t.Errorf("after a refresh, the token has %q, want %q", inToken, of.token)
		}
	}
	if got := s.call("GET", "/verify", nil, as(a.token)).header.Get("X-User-Roles"); got != "clerk,support" {
		t.Errorf("the roles are %s, want all", got)
	}
	s.putFactorRole(admin, "support", false, access.UsersRead, "orders:refund")
	wants(a, 200, all, withCommas)
}

// TestTheRoleAdminCanRequireASecondFactor checks that an administrator without a factor loses all permissions, also those that the name of
// the role gives, and can add a factor.
func TestTheRoleAdminCanRequireASecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, other, target := s.admin(), s.admin(), s.register()
	s.putFactorRole(admin, "writer", false, access.UsersWrite)
	writer := s.with(access.Admin, "writer")
	refunds := s.with("user")
	s.putFactorRole(admin, "refunds", false, "orders:refund")
	s.call("PUT", refunds.path()+"/roles", `{"roles":["refunds"]}`, as(admin.token)).want(t, 200)
	s.putFactorRole(admin, access.Admin, true, access.Permissions()...)
	for _, path := range []string{refunds.path(), other.path()} { // users:write counts, but the role admin does not cover the other account
		s.call("PATCH", path, `{"name":"Ada"}`, as(writer.token)).wantProblem(t, 403, "second-factor-required")
	}
	s.call("PATCH", target.path(), `{"name":"Ada"}`, as(writer.token)).want(t, 200)
	s.call("PUT", "/roles/spare", `{"permissions":[]}`, as(admin.token)).wantProblem(t, 403, "second-factor-required")
	s.call("GET", "/users", nil, as(target.token)).wantProblem(t, 403, "forbidden")
	admin = s.loginWith(admin, s.enroll(admin))
	s.call("PATCH", refunds.path(), `{"name":"Ada"}`, as(admin.token)).want(t, 200)
	got := s.audit(admin.token, "action=privilege_permissions_changed&limit=1")
	if len(got) != 1 || got[0].what() != `privilege_permissions_changed {"change":"updated","changed":["second_factor"],"role":"admin"}` {
		t.Errorf("the entry is %+v, want the change of second_factor", got)
	}
}

// TestARoleNeedsADataKeyForItsSecondFactor stores such a role without DATA_KEY.
func TestARoleNeedsADataKeyForItsSecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.dataKey = "" })
	admin := s.admin()
	body := map[string]any{"permissions": []string{}, "second_factor": true}
	s.call("PUT", "/roles/support", body, as(admin.token)).wantProblem(t, 409, "second-factors-disabled")
	s.call("PUT", "/roles/support", `{"permissions":[],"second_factor":"yes"}`, as(admin.token)).wantProblem(t, 422, "validation-failed")
	first := s.call("PUT", "/roles/support", `{"permissions":[]}`, as(admin.token)).want(t, 200).header.Get("ETag")
	on := start(t, func(set *settings) { set.database = s.dsn })
	second := on.call("PUT", "/roles/support", body, as(admin.token), header("If-Match", first)).want(t, 200).header.Get("ETag")
	if first == second {
		t.Error("a role with another second_factor has the same ETag")
	}
}

// TestAWaitingChangeNeedsTheSecondFactor checks the permission again in the transaction of the change: while the change waits, the role
// begins to require a second factor.
func TestAWaitingChangeNeedsTheSecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	admin, target := s.admin(), s.register()
	s.putFactorRole(admin, "support", false, access.UsersWrite)
	support := s.with("support")
	p := pending{
		writing: writing{method: "PATCH"}, caller: support, target: target, path: target.path(), body: map[string]any{"name": "Ada"},
	}
	unlock := s.lockTarget(p)
	answered := make(chan answer)
	go func() { answered <- s.sendPending(p) }()
	s.waitForLock()
	other.putFactorRole(admin, "support", true, access.UsersWrite)
	unlock()
	got := <-answered
	got.wantProblem(t, 403, "second-factor-required")
	if u := s.current(target); u.Name != "" {
		t.Errorf("the name is %q, want no change", u.Name)
	}
}
