package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/user"
)

// invite creates an account without a password, as a new admin, and returns it with the token of its invitation.
func (s *server) invite(email string) (u user.User, token string) {
	s.t.Helper()
	u = decode[user.User](s.t, s.call("POST", "/users", map[string]any{"email": email}, as(s.admin().token)).want(s.t, 201))
	return u, s.invitation(u)
}

// invitation returns the token of the last invitation of a user.
func (s *server) invitation(u user.User) string {
	s.t.Helper()
	_, issued := lastEvent[tokenIssued](s.t, s, event.InvitationRequested)
	if issued.User.ID != u.ID {
		s.t.Fatalf("the last invitation is for %s, want %s", issued.User.ID, u.ID)
	}
	return issued.Token
}

func (s *server) accept(token, pw string) answer {
	s.t.Helper()
	return s.call("POST", "/invitation/confirm", map[string]any{"token": token, "new_password": pw})
}

func TestAnAdminCreatesAnAccount(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.RegistrationEnabled, set.cfg.VerifyAtRegistration = false, true })
	admin := s.admin()
	body := `{"email":" Ada@Example.com ","name":"Ada","locale":"en-GB","metadata":{"plan":"pro"},"roles":["admin","user","user"]}`
	got := s.call("POST", "/users", body, as(admin.token)).want(t, 201)
	u := decode[user.User](t, got)
	want := user.User{
		ID: u.ID, Email: "Ada@Example.com", Profile: user.Profile{Name: "Ada", Locale: "en-GB", Metadata: []byte(`{"plan":"pro"}`)},
		Roles: []string{"admin", "user"}, Status: user.Active, Version: 1, CreatedAt: u.CreatedAt, UpdatedAt: u.CreatedAt,
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("the user (-want +got):\n%s", diff)
	}
	if location, tag := got.header.Get("Location"), got.header.Get("ETag"); location != "users/"+u.ID.String() || tag == "" {
		t.Errorf("Location is %q and ETag %q, want a relative reference to the user and a tag", location, tag)
	}

	created, _ := lastEvent[updated](t, s, event.UserCreated)
	e, issued := lastEvent[tokenIssued](t, s, event.InvitationRequested)
	if left := time.Until(issued.ExpiresAt); created.Subject != u.ID || e.Subject != u.ID || left > 7*24*time.Hour ||
		left < 7*24*time.Hour-time.Minute {
		t.Errorf("the invitation is %+v and expires in %s, want one for the user that expires in 7 days", e, left)
	}
	if diff := cmp.Diff(u, issued.User); diff != "" {
		t.Errorf("the user in the event (-want +got):\n%s", diff)
	}
	if n := len(s.events(event.EmailVerificationRequested)); n != 0 {
		t.Errorf("%d verification tokens are sent, want none: the invitation verifies the email", n)
	}
	if strings.Contains(string(got.body), issued.Token) {
		t.Error("the response has the token, want it only in the event")
	}
	if n := s.execute(`DELETE FROM one_time_tokens WHERE token_hash = convert_to($1, 'UTF8')`, issued.Token); n != 0 {
		t.Error("the token is stored in plain text, want only its hash")
	}
	entries := s.audit(admin.token, "limit=100&user_id="+u.ID.String())
	at := slices.IndexFunc(entries, func(e entry) bool { return e.Action == string(user.UserCreated) })
	if at < 0 || entries[at].ActorID == nil || *entries[at].ActorID != admin.ID {
		t.Errorf("the audit trail is %+v, want user_created by the admin", entries)
	}
}

func TestAnInvitationSetsTheFirstPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	u, token := s.invite("ada@example.com")
	for _, pw := range []string{"short", u.Email} {
		p := s.accept(token, pw).wantProblem(t, 422, "validation-failed")
		if !containsPointer(p.Errors, "/new_password") || len(p.Errors) != 1 {
			t.Errorf("%q: errors are %+v, want one for /new_password", pw, p.Errors)
		}
	}
	s.call("POST", "/invitation/confirm", `{}`).wantProblem(t, 422, "validation-failed")
	for _, wrong := range []string{"x", "ünï", token + "A", s.askForReset(u.Email)} { // a token is valid only for its own purpose
		s.accept(wrong, goodPassword).wantProblem(t, 400, "invalid-token")
	}
	s.confirmReset(token, goodPassword).wantProblem(t, 400, "invalid-token")

	if got := s.accept(token, goodPassword).want(t, 204); len(got.body) != 0 {
		t.Errorf("the body is %q, want none", got.body)
	}
	s.accept(token, newPassword).wantProblem(t, 400, "invalid-token")
	a := s.login(account{User: u, password: goodPassword})
	if now := s.current(a); now.Version != 2 || !now.EmailVerified {
		t.Errorf("version is %d and the email is verified: %t, want 2 and true", now.Version, now.EmailVerified)
	}
	if n := len(s.events(event.PasswordChanged)); n != 1 {
		t.Errorf("%d events of one password, want 1", n)
	}
}

func TestAnInvitationWorksOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, token := s.invite("ada@example.com")
	var statuses [600]atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			statuses[patiently(func() answer { return s.accept(token, fmt.Sprint(newPassword, i)) }).status].Add(1)
		})
	}
	wg.Wait()
	if done, refused := statuses[204].Load(), statuses[400].Load(); done != 1 || refused != 19 {
		t.Errorf("%d confirmations succeed and %d are refused, want 1 and 19", done, refused)
	}
	if n := len(s.events(event.PasswordChanged)); n != 1 {
		t.Errorf("%d passwords are set with one token, want 1", n)
	}
}

// TestAnInvitationEndsEarly invalidates invitations in each way, and checks that the token never becomes valid again.
func TestAnInvitationEndsEarly(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *server, u user.User, token string){
		"it expires": func(s *server, _ user.User, _ string) {
			s.execute(`UPDATE one_time_tokens SET expires_at = now()`)
		},
		"a reset": func(s *server, u user.User, _ string) {
			s.confirmReset(s.askForReset(u.Email), goodPassword).want(s.t, 204)
		},
		"a reset by a replica that does not know invitations": func(s *server, u user.User, _ string) {
			s.execute(`UPDATE credentials SET password_hash = 'hash' WHERE user_id = $1`, u.ID)
		},
		"another invitation": func(s *server, u user.User, _ string) {
			s.call("POST", "/users/"+u.ID.String()+"/invitation", nil, as(s.admin().token)).want(s.t, 202)
			s.accept(s.invitation(u), goodPassword).want(s.t, 204)
		},
		"another email, and the first one again": func(s *server, u user.User, _ string) {
			for _, email := range []string{"other@example.com", u.Email} {
				s.call("PATCH", "/users/"+u.ID.String(), map[string]any{"email": email}, as(s.admin().token)).want(s.t, 200)
			}
		},
		"disabling, and enabling again": func(s *server, u user.User, _ string) {
			for _, status := range []string{"disabled", "active"} {
				s.call("PUT", "/users/"+u.ID.String()+"/status", map[string]any{"status": status}, as(s.admin().token)).want(s.t, 200)
			}
		},
		"the erasure": func(s *server, u user.User, _ string) {
			s.call("DELETE", "/users/"+u.ID.String(), nil, as(s.admin().token)).want(s.t, 204)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			u, token := s.invite("ada@example.com")
			end(s, u, token)
			s.accept(token, newPassword).wantProblem(t, 400, "invalid-token")
			s.call("POST", "/login", map[string]any{"email": u.Email, "password": newPassword}).wantProblem(t, 401, "invalid-credentials")
		})
	}
}

func TestAnInvitationInvalidatesResets(t *testing.T) {
	t.Parallel()
	s := start(t)
	u, token := s.invite("ada@example.com")
	reset := s.askForReset(u.Email)
	s.accept(token, goodPassword).want(t, 204)
	s.confirmReset(reset, newPassword).wantProblem(t, 400, "invalid-token")
}

func TestAnInvitationIsSentAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	u, first := s.invite("ada@example.com")
	path, admin := "/users/"+u.ID.String()+"/invitation", s.admin()
	got := s.call("POST", path, nil, as(admin.token)).want(t, 202)
	second := s.invitation(u)
	if len(got.body) != 0 || second == first {
		t.Errorf("the body is %q and the tokens are equal: %t, want no body and a new token", got.body, second == first)
	}
	for range 6 {
		s.call("POST", path, nil, as(admin.token)).want(t, 202)
	}
	if n := len(s.events(event.InvitationRequested)); n != 5 {
		t.Errorf("%d invitations to a mailbox within 10 minutes, want 5", n)
	}
	s.accept(first, goodPassword).want(t, 204) // an earlier token stays valid
	s.call("POST", path, nil, as(admin.token)).wantProblem(t, 409, "password-set")
	s.call("POST", "/users/me/invitation", nil, as(admin.token)).wantProblem(t, 409, "password-set")
	s.call("POST", "/users/"+uuid.Must(uuid.NewV7()).String()+"/invitation", nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("POST", s.register().path()+"/invitation", nil, as(admin.token)).wantProblem(t, 409, "password-set")
}

// TestADisabledAccountIsInvited sends an invitation while the account is disabled. The token sets the password after the account is active
// again.
func TestADisabledAccountIsInvited(t *testing.T) {
	t.Parallel()
	s := start(t)
	u, _ := s.invite("ada@example.com")
	path, admin := "/users/"+u.ID.String(), s.admin()
	s.call("PUT", path+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	s.call("POST", path+"/invitation", nil, as(admin.token)).want(t, 202)
	token := s.invitation(u)
	s.accept(token, goodPassword).wantProblem(t, 400, "invalid-token")
	s.call("PUT", path+"/status", `{"status":"active"}`, as(admin.token)).want(t, 200)
	s.accept(token, goodPassword).want(t, 204)
}

// TestTheRolesOfANewAccount checks that nobody creates an account with more permissions than the caller has.
func TestTheRolesOfANewAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for role, permissions := range map[string][]access.Permission{
		"writer": {access.UsersWrite}, "assigner": {access.UsersWrite, access.RolesAssign}, "refunds": {"orders:refund"},
		"refunder": {access.UsersWrite, access.RolesAssign, "orders:refund"}, "listed": access.Permissions(),
	} {
		s.call("PUT", "/roles/"+role, map[string]any{"permissions": permissions}, as(admin.token)).want(t, 200)
	}
	for i, c := range []struct {
		caller  string
		roles   any
		status  int
		problem string
	}{
		{"writer", nil, 201, ""},
		{"writer", []string{}, 201, ""},
		{"writer", []string{"user"}, 201, ""},
		{"writer", []string{"writer"}, 403, "forbidden"}, // all permissions, but not roles:assign
		{"writer", []string{"nonsense"}, 403, "forbidden"},
		{"assigner", []string{"user", "writer"}, 201, ""},
		{"assigner", []string{"refunds"}, 403, "forbidden"},
		{"assigner", []string{"admin"}, 403, "forbidden"},
		{"assigner", []string{"user", "nonsense"}, 422, "validation-failed"},
		{"refunder", []string{"refunds"}, 201, ""},
		{"listed", []string{"admin"}, 403, "forbidden"},
		{"admin", []string{"admin", "refunds"}, 201, ""},
		{"admin", "admin", 422, "validation-failed"},
	} {
		body := map[string]any{"email": fmt.Sprintf("user%d@example.com", i), "roles": c.roles}
		got := s.call("POST", "/users", body, as(s.with(c.caller).token))
		if c.problem != "" {
			got.wantProblem(t, c.status, c.problem)
		} else if u := decode[user.User](t, got.want(t, c.status)); c.roles == nil && !slices.Equal(u.Roles, []string{"user"}) {
			t.Errorf("without roles, the new user has %v, want user", u.Roles)
		}
	}
	p := s.call("POST", "/users", `{"email":"x@example.com","roles":["user","nonsense"]}`, as(admin.token)).wantProblem(t, 422,
		"validation-failed")
	if len(p.Errors) != 1 || p.Errors[0].Code != user.UnknownRole || p.Errors[0].Pointer != "/roles/0" {
		t.Errorf("errors are %+v, want unknown_role", p.Errors)
	}
}

func TestARefusedNewAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	s.call("PUT", "/roles/clerk", `{"permissions":["users:write"]}`, as(admin.token)).want(t, 200)
	p := s.call("POST", "/users", `{"email":"x","password":"`+goodPassword+`","zoneinfo":"Mars"}`, as(admin.token)).
		wantProblem(t, 422, "validation-failed")
	for _, pointer := range []string{"/email", "/password", "/zoneinfo"} {
		if !containsPointer(p.Errors, pointer) {
			t.Errorf("errors are %+v, want one for %s", p.Errors, pointer)
		}
	}
	for body, want := range map[string][]string{
		`{"email":"x","roles":["nonsense"]}`:                            {"/email", "/roles/0"},
		`{"email":"ada@example.com","roles":["nonsense"],"nickname":1}`: {"/nickname", "/roles/0"},
	} {
		p := s.call("POST", "/users", body, as(admin.token)).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != len(want) || !containsPointer(p.Errors, want[0]) || !containsPointer(p.Errors, want[1]) {
			t.Errorf("%s: errors are %+v, want %v", body, p.Errors, want)
		}
		p = s.call("POST", "/users", body, as(s.with("clerk").token)).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || containsPointer(p.Errors, "/roles/0") {
			t.Errorf("%s: errors are %+v for a caller who can't assign roles, want none about the role", body, p.Errors)
		}
	}
	s.call("POST", "/users", map[string]any{"email": strings.ToUpper(a.Email)}, as(admin.token)).wantProblem(t, 409, "email-taken")
	refused := s.audit(admin.token, "action=user_create_fail")
	if len(refused) != 1 || refused[0].ActorID == nil || *refused[0].ActorID != admin.ID {
		t.Errorf("the audit trail is %+v, want the refusal with the admin as its actor", refused)
	}
}

// TestAUserWithoutAPassword checks that such a user can do nothing before a password reset.
func TestAUserWithoutAPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	u, _ := s.invite("ada@example.com")
	login := func(email, pw string) problem {
		before := s.hashes.Load()
		p := s.call("POST", "/login", map[string]any{"email": email, "password": pw}).wantProblem(t, 401, "invalid-credentials")
		if n := s.hashes.Load() - before; n != 1 {
			t.Errorf("a login as %s computes %d hashes, want 1", email, n)
		}
		p.RequestID = ""
		return p
	}
	unknown := login("nobody@example.com", goodPassword)
	for _, pw := range []string{goodPassword, "''", "null"} {
		if diff := cmp.Diff(unknown, login(u.Email, pw)); diff != "" {
			t.Errorf("a login without a password (-unknown email +got):\n%s", diff)
		}
	}
	for range 2 {
		login(u.Email, goodPassword)
	}
	s.call("POST", "/login", map[string]any{"email": u.Email, "password": goodPassword}).wantProblem(t, 429, "too-many-requests")

	admin := s.admin()
	exported := s.call("GET", "/users/"+u.ID.String()+"/export", nil, as(admin.token)).want(t, 200)
	if strings.Contains(string(exported.body), "password_changed_at") {
		t.Errorf("the export is %s, want no time of a password", exported.body)
	}
	s.confirmReset(s.askForReset(u.Email), goodPassword).want(t, 204)
	s.login(account{User: u, password: goodPassword})
}

// TestAnAdminWithoutAPasswordIsNotTheLastAdmin checks that the last admin who can log in stays an admin.
func TestAnAdminWithoutAPasswordIsNotTheLastAdmin(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	invited := decode[user.User](t, s.call("POST", "/users", `{"email":"ada@example.com","roles":["admin"]}`, as(admin.token)).want(t, 201))
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/users/me/roles", `{"roles":[]}`}, {"PUT", "/users/me/status", `{"status":"disabled"}`}, {"DELETE", "/users/me", ""},
	} {
		s.call(c.method, c.path, c.body, as(admin.token)).wantProblem(t, 409, "last-admin")
	}
	s.accept(s.invitation(invited), goodPassword).want(t, 204)
	s.call("DELETE", "/users/me", nil, as(admin.token)).want(t, 204)
}
