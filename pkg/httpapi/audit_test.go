package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// noted is the short form of an audit entry: the action with its detail, the actor, the user and the request id.
type noted struct{ what, actor, about, request string }

// trail returns the newest entries that match the query, oldest first. It replaces the id of each account with its name in names.
func (s *server) trail(token, query string, names map[uuid.UUID]string) []noted {
	s.t.Helper()
	name := func(id *uuid.UUID) string {
		if id == nil {
			return ""
		}
		return names[*id]
	}
	var out []noted
	for _, e := range s.audit(token, query) {
		if e.IP != "127.0.0.1" || time.Since(e.Time) > time.Minute || time.Since(e.Time) < -time.Second {
			s.t.Errorf("the entry is %+v, want the address 127.0.0.1 and about the current time", e)
		}
		out = append(out, noted{e.what(), name(e.ActorID), name(e.UserID), e.RequestID})
	}
	slices.Reverse(out)
	return out
}

// noting sends requests and collects the audit entries that they must create.
type noting struct {
	*server
	want []noted
}

// do sends a request that must create one audit entry, or none if what is empty.
func (n *noting) do(method, path string, body any, status int, what, actor, about string, options ...option) answer {
	n.t.Helper()
	id := fmt.Sprint("request-", len(n.want))
	if what != "" {
		n.want = append(n.want, noted{what, actor, about, id})
	}
	return n.call(method, path, body, append(options, header("X-Request-Id", id))...).want(n.t, status)
}

// check compares the newest entries with the expected ones.
func (n *noting) check(token string, names map[uuid.UUID]string) {
	n.t.Helper()
	if diff := cmp.Diff(n.want, n.trail(token, fmt.Sprint("limit=", len(n.want)), names), cmp.AllowUnexported(noted{})); diff != "" {
		n.t.Errorf("audit entries (-want +got):\n%s", diff)
	}
}

// TestEveryActionIsAudited sends the requests of an account's life and checks the audit entry of each one. It reads the entries again after
// the erasure of the account: the older entries must have neither an IP address nor a request id.
func TestEveryActionIsAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	const email, wrong = "ada@example.com", "wrong " + goodPassword
	names := map[uuid.UUID]string{admin.ID: "admin"}
	n := &noting{server: s}
	do := n.do
	credentials := func(pw string) map[string]any { return map[string]any{"email": email, "password": pw} }
	const resetCreated, sessionRevoked = `authn_token_created {"purpose":"password_reset"}`, `authn_token_revoked {"session_id":"…"}`

	registered := do("POST", "/register", credentials(goodPassword), 201, `user_created {"roles":["user"]}`, "", "ada")
	a := account{User: decode[user.User](t, registered)}
	names[a.ID] = "ada"
	me, ada := as(""), as(admin.token)
	login := func(pw string) {
		pair := decode[tokens](t, do("POST", "/login", credentials(pw), 200, `authn_login_success {"amr":["pwd"],"session_id":"…"}`,
			"ada", "ada"))
		a.token, a.refresh, me = pair.AccessToken, pair.RefreshToken, as(pair.AccessToken)
	}
	login(goodPassword)
	do("POST", "/login", credentials(wrong), 401, "authn_login_fail", "", "ada")
	do("POST", "/login", map[string]any{"email": "nobody@example.com", "password": wrong}, 401, "authn_login_fail", "", "")
	do("PUT", "/users/me/password", change(wrong, newPassword), 403, "authn_password_change_fail", "ada", "ada", me)
	pair := decode[tokens](t, do("PUT", "/users/me/password", change(goodPassword, newPassword), 200,
		`authn_password_change {"session_id":"…","sessions":1}`, "ada", "ada", me))
	me = as(pair.AccessToken)
	do("PATCH", "/users/me", `{"name":"Ada"}`, 200, `user_updated {"changed":["name"]}`, "ada", "ada", me)
	do("PATCH", "/users/me", `{"name":"Ada"}`, 200, "", "", "", me) // nothing has changed
	do("GET", "/users/me", nil, 200, "", "", "", me)
	do("POST", "/email-verification", nil, 202, `authn_token_created {"purpose":"email_verification"}`, "ada", "ada", me)
	_, issued := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	do("POST", "/email-verification/confirm", map[string]any{"token": issued.Token}, 204,
		`user_updated {"changed":["email_verified"]}`, "", "ada")
	do("POST", "/password-reset", map[string]any{"email": email}, 202, resetCreated, "", "ada")
	_, issued = lastEvent[tokenIssued](t, s, event.PasswordResetRequested)
	do("POST", "/password-reset", `{"email":"nobody@example.com"}`, 202, "", "", "")
	do("POST", "/password-reset/confirm", map[string]any{"token": issued.Token, "new_password": goodPassword}, 204,
		`authn_password_change {"sessions":1}`, "", "ada")
	do("POST", a.path()+"/password-reset", nil, 202, resetCreated, "admin", "ada", ada)
	login(goodPassword)
	do("POST", "/logout", nil, 204, sessionRevoked, "ada", "ada", me)
	login(goodPassword)
	session := s.sessions(a.path(), admin.token)[0].ID.String()
	do("DELETE", a.path()+"/sessions/"+session, nil, 204, sessionRevoked, "admin", "ada", ada)
	login(goodPassword)
	login(goodPassword)
	do("DELETE", a.path()+"/sessions", nil, 204, `authn_token_revoked {"sessions":2}`, "admin", "ada", ada)
	for range 4 {
		do("POST", "/login", credentials(wrong), 401, "authn_login_fail", "", "ada")
	}
	do("POST", "/login", credentials(wrong), 401, "authn_login_lock", "", "ada")
	do("POST", "/login", credentials(goodPassword), 429, "authn_login_fail", "", "ada")
	n.check(admin.token, names)
	do("DELETE", a.path(), nil, 204, "user_deleted", "admin", "ada", ada)
	kept := 0
	for _, e := range s.audit(admin.token, "limit=100&user_id="+a.ID.String()) {
		if kept++; e.Action != string(user.UserDeleted) && e.IP+e.RequestID != "" || e.Action == "" || e.Time.IsZero() {
			t.Errorf("after the erasure the entry is %+v, want no address and no request id", e)
		}
	}
	if about := slices.DeleteFunc(n.want, func(n noted) bool { return n.about == "" }); kept != len(about) {
		t.Errorf("%d entries are left, want %d", kept, len(about))
	}
	s.wantNoSecrets(email, admin.Email, "nobody@", "Ada", goodPassword, newPassword, a.token, a.refresh, issued.Token)
}

// TestAdminChangesAreAudited checks that the entries contain the values before and after each change.
func TestAdminChangesAreAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	names := map[uuid.UUID]string{admin.ID: "admin", a.ID: "ada"}
	n := &noting{server: s}
	do, ada := n.do, as(admin.token)
	also := func(what, about string) { // a second entry of the same request
		n.want = append(n.want, noted{what, "admin", about, n.want[len(n.want)-1].request})
	}
	do("PUT", "/roles/support", `{"permissions":["orders:read","orders:refund"]}`, 200,
		`privilege_permissions_changed {"added":["orders:read","orders:refund"],"change":"created","role":"support"}`, "admin", "", ada)
	do("PUT", "/roles/support", `{"permissions":["orders:read","orders:write"]}`, 200,
		`privilege_permissions_changed {"added":["orders:write"],"change":"updated","removed":["orders:refund"],"role":"support"}`,
		"admin", "", ada)
	do("PUT", a.path()+"/roles", `{"roles":["user","support"]}`, 200,
		`authz_change {"changed":["roles"],"from":["user"],"to":["support","user"]}`, "admin", "ada", ada)
	do("DELETE", "/roles/support", nil, 204,
		`authz_change {"changed":["roles"],"from":["support","user"],"to":["user"]}`, "admin", "ada", ada)
	also(`privilege_permissions_changed {"change":"deleted","removed":["orders:read","orders:write"],"role":"support"}`, "")
	do("PUT", a.path()+"/roles", `{"roles":[]}`, 200, `authz_change {"changed":["roles"],"from":["user"],"to":[]}`, "admin", "ada", ada)
	do("PUT", a.path()+"/status", `{"status":"disabled"}`, 200,
		`user_updated {"changed":["status"],"previous_status":"active","sessions":1,"status":"disabled"}`, "admin", "ada", ada)
	do("PUT", a.path()+"/status", `{"status":"disabled"}`, 200, "", "", "", ada) // nothing has changed
	do("PUT", a.path()+"/status", `{"status":"active"}`, 200,
		`user_updated {"changed":["status"],"previous_status":"disabled","status":"active"}`, "admin", "ada", ada)
	do("PATCH", a.path(), `{"email":"ada@example.com"}`, 200, `user_updated {"changed":["email"],"sessions":0}`, "admin", "ada", ada)
	also(`authn_token_created {"purpose":"email_verification"}`, "ada")
	n.check(admin.token, names)
}

// TestATakenEmailIsAudited sends requests that set an email which another account has. The audit entries must not contain the email.
func TestATakenEmailIsAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	names := map[uuid.UUID]string{admin.ID: "admin", a.ID: "ada"}
	n := &noting{server: s}
	do, ada, me := n.do, as(admin.token), as(a.token)
	const updateFailed, createFailed = `user_update_fail {"reason":"email_taken"}`, `user_create_fail {"reason":"email_taken"}`
	do("PATCH", a.path(), map[string]any{"email": admin.Email}, 409, updateFailed, "admin", "ada", ada)
	ownChange := map[string]any{"email": admin.Email, "current_password": goodPassword}
	do("PATCH", "/users/me", ownChange, 409, updateFailed, "ada", "ada", me)
	do("POST", "/register", map[string]any{"email": admin.Email, "password": goodPassword}, 409, createFailed, "", "")
	n.check(admin.token, names)
	do("DELETE", "/users/me", nil, 204, `user_deleted`, "ada", "ada", me)
	s.wantNoSecrets(admin.Email)
}

// TestAnInvalidTokenIsAudited presents unknown, used and expired tokens, and one valid token, which creates no entry.
func TestAnInvalidTokenIsAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	ended := s.login(a)
	s.call("POST", "/logout", nil, as(ended.token)).want(t, 204)
	used := s.askForReset(a.Email)
	s.confirmReset(used, newPassword).want(t, 204)
	a.password = newPassword
	a = s.login(a)
	names := map[uuid.UUID]string{a.ID: "ada"}
	var want []noted
	refused := func(path string, body map[string]any, status int, what, about string) {
		t.Helper()
		want = append(want, noted{what: what, about: about, request: fmt.Sprint("request-", len(want))})
		s.call("POST", path, body, header("X-Request-Id", want[len(want)-1].request)).want(t, status)
	}
	usedReset := map[string]any{"token": used, "new_password": goodPassword}
	refused("/password-reset/confirm", usedReset, 400, `authn_token_fail {"purpose":"password_reset"}`, "")
	refused("/email-verification/confirm", map[string]any{"token": used}, 400, `authn_token_fail {"purpose":"email_verification"}`, "")
	refused("/refresh", map[string]any{"refresh_token": "x" + a.refresh[1:]}, 401, `authn_token_fail {"purpose":"refresh"}`, "")
	refused("/refresh", map[string]any{"refresh_token": ended.refresh}, 401, `session_use_after_expire`, "")
	s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(t, 200) // creates no entry
	s.execute(`UPDATE sessions SET expires_at = now() WHERE user_id = $1`, a.ID)
	refused("/refresh", map[string]any{"refresh_token": a.refresh}, 401, `session_use_after_expire {"session_id":"…"}`, "ada")
	if diff := cmp.Diff(want, s.trail(admin.token, fmt.Sprint("limit=", len(want)), names), cmp.AllowUnexported(noted{})); diff != "" {
		t.Errorf("audit entries (-want +got):\n%s", diff)
	}
}

// wantNoSecrets checks that no entry of the audit trail contains one of the secrets or personal data.
func (s *server) wantNoSecrets(secrets ...string) {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	var all string
	if err := conn.QueryRow(s.t.Context(), `SELECT json_agg(e)::text FROM audit_events e`).Scan(&all); err != nil {
		s.t.Fatal(err)
	}
	if !json.Valid([]byte(all)) || !strings.Contains(all, "user_deleted") {
		s.t.Fatalf("the audit trail is %.200s, want JSON with the erasure", all)
	}
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			s.t.Errorf("the audit trail contains %q, want no secrets and no personal data", secret)
		}
	}
}

func TestTheTrailIsReadPageByPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register() // two entries each
	for i := range 5 {
		s.call("PATCH", "/users/me", map[string]any{"name": fmt.Sprint(i)}, as(a.token)).want(t, 200)
	}
	type auditPage struct {
		Items []entry
		Next  string `json:"next_cursor"`
	}
	var got []entry
	cursor, pages := "", 0
	for more := true; more; more = cursor != "" {
		p := decode[auditPage](t, s.call("GET", "/audit-events?limit=4&cursor="+cursor, nil, as(admin.token)).want(t, 200))
		got = append(got, p.Items...)
		cursor, pages = p.Next, pages+1
	}
	newestFirst := slices.IsSortedFunc(got, func(a, b entry) int { return b.Time.Compare(a.Time) })
	if len(got) != 9 || pages != 3 || !newestFirst || got[8].Action != string(user.UserCreated) {
		t.Errorf("%d entries on %d pages, want 9 on 3 pages, newest first: %+v", len(got), pages, got)
	}
	for query, want := range map[string]int{
		"user_id=" + a.ID.String(): 7, "user_id=me": 2, "action=user_updated": 5, "action=user_updated&user_id=me": 0,
		"action=nothing": 0, "user_id=" + uuid.NewString(): 0, "cursor=": 9, "action=user_updated&limit=2": 2,
	} {
		if n := len(s.audit(admin.token, query)); n != want {
			t.Errorf("%s: %d entries, want %d", query, n, want)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=101", "cursor=x", "user_id=1", "user_id=ME", "action=a&action=b", "action=%00", "user_id=", "action=",
	} {
		s.call("GET", "/audit-events?"+query, nil, as(admin.token)).wantProblem(t, 400, "invalid-parameter")
	}
}
