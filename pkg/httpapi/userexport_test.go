package httpapi_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/user"
)

type exported struct {
	User         user.User
	Sessions     []exportedSession
	Networks     []user.LoginNetwork `json:"login_networks"`
	Tokens       []user.IssuedToken  `json:"one_time_tokens"`
	Audit        []user.AuditEvent   `json:"audit_events"`
	PasswordTime string              `json:"password_changed_at"`
}

type exportedSession struct {
	session
	AMR []string
}

// TestAnExportHasTheLoginMethods exports a passkey without its key, and sessions with and without the passkey.
func TestAnExportHasTheLoginMethods(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	challenge := s.passkeyChallenge()
	s.passkeyLogin(challenge, d.sign(t, challenge)).want(t, 200)
	body := s.call("GET", "/users/me/export", nil, as(a.token)).want(t, 200)
	got := decode[struct {
		Sessions []exportedSession
		Factors  []map[string]any
	}](t, body)
	if len(got.Sessions) != 2 || !slices.Equal(got.Sessions[0].AMR, []string{"pop", "user", "mfa"}) ||
		!slices.Equal(got.Sessions[1].AMR, []string{"pwd"}) {
		t.Errorf("the sessions are %+v, want one with the passkey and one with the password", got.Sessions)
	}
	want := []string{"confirmed", "created_at", "id", "last_used_at", "name", "type"}
	if len(got.Factors) != 1 || !slices.Equal(slices.Sorted(maps.Keys(got.Factors[0])), want) {
		t.Errorf("the factors are %v, want one with the members %v", got.Factors, want)
	}
}

// TestAnExportHasEverythingThatIsStoredAboutTheUser compares an export with what the user and others have done.
func TestAnExportHasEverythingThatIsStoredAboutTheUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	s.loginFrom(a, "Phone")
	s.fail(a.Email)
	s.askForReset(a.Email)
	s.call("PATCH", "/users/me", `{"name":"Ada <Lovelace>","metadata":{"plan":1e2}}`, as(a.token)).want(t, 200)
	s.call("PUT", a.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
	s.call("PUT", admin.path()+"/status", `{"status":"disabled"}`, as(a.token)).want(t, 403)
	s.execute(`UPDATE sessions SET expires_at = now() - interval '1 hour' WHERE user_agent = 'Phone'`)
	testkit.WaitFor(t, "the entry of the refused request", func() bool { return len(s.audit(admin.token, "action=authz_fail")) == 1 })

	for _, token := range []string{a.token, admin.token} {
		got := decode[exported](t, s.call("GET", a.path()+"/export", nil, as(token)).want(t, 200))
		if diff := cmp.Diff(s.current(a), got.User); diff != "" {
			t.Errorf("the user (-want +got):\n%s", diff)
		}
		if len(got.Sessions) != 2 || got.Sessions[1].Current != (token == a.token) || len(got.Networks) != 1 || got.PasswordTime == "" {
			t.Errorf("the sessions are %+v, the networks %+v, the password is of %q", got.Sessions, got.Networks, got.PasswordTime)
		}
		if len(got.Tokens) != 1 || got.Tokens[0].Purpose != user.PasswordReset {
			t.Errorf("the tokens are %+v, want one reset", got.Tokens)
		}
		var actions []user.Action
		for _, e := range got.Audit {
			actions = append(actions, e.Action)
			if own := e.ActorID != nil && *e.ActorID == a.ID; own != (e.IP != "") || own != (e.RequestID != "") {
				t.Errorf("an entry of its own: %t, with the address %q and the request id %q", own, e.IP, e.RequestID)
			}
		}
		want := []user.Action{
			user.AccessDenied, user.UserUpdated, user.TokenCreated, user.LoginFailed, user.LoginSucceeded, user.LoginSucceeded,
			user.UserCreated,
		}
		slices.Sort(actions)
		slices.Sort(want)
		if diff := cmp.Diff(want, actions); diff != "" {
			t.Errorf("the actions (-want +got):\n%s", diff)
		}
	}
}

// TestAnExportCoversEachTable fails for a new table until the export has its data, or this list says why not.
func TestAnExportCoversEachTable(t *testing.T) {
	t.Parallel()
	s := start(t)
	conn := s.connect()
	rows, err := conn.Query(t.Context(), `SELECT table_name FROM information_schema.tables
		WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name NOT LIKE 'goose%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{ // to the member of the export, or the reason why there is none
		"audit_events":       "audit_events",
		"credentials":        "password_changed_at; the hash is a secret",
		"email_collisions":   "the id of another user with the same email",
		"erasures":           "ids of users that no longer exist",
		"factors":            "factors; the secret is a secret",
		"login_challenges":   "login_challenges; the hash is of a secret",
		"login_failures":     "a hash of the email and a count of attempts by anybody",
		"login_networks":     "login_networks",
		"mails_sent":         "ids of events",
		"one_time_tokens":    "one_time_tokens",
		"outbox":             "copies of the user that are deleted when they are published",
		"passkey_challenges": "not about a user",
		"password_failures":  "as login_failures",
		"recovery_codes":     "recovery_codes_left; the hash is of a secret",
		"roles":              "not about a user",
		"sessions":           "sessions",
		"token_keys":         "not about a user",
		"token_mailboxes":    "a hash of the email and a time",
		"user_roles":         "user.roles",
		"users":              "user",
		"idempotency_keys":   "a copy of the new user that is deleted after a day, and a MAC",
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(tables)), got); diff != "" {
		t.Errorf("the tables (-want +got):\n%s", diff)
	}
}

// TestALongExportIsStreamed exports 40,000 audit entries to a client that does not read. Meanwhile the export holds no connection to the
// database. Then the caller's session ends, and with it the export: the client gets a part that is not JSON.
func TestALongExportIsStreamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	const many = 40_000
	s.execute(`INSERT INTO audit_events (id, time, action, actor_id, user_id, detail)
		SELECT gen_random_uuid(), now(), 'user_updated', $1, $1, jsonb_build_object('changed', array_fill('name'::text, '{100}'))
		FROM generate_series(1, $2)`, a.ID, many)

	whole := s.export(a)
	var got exported
	if err := json.NewDecoder(whole).Decode(&got); err != nil || len(got.Audit) != many+2 { // the registration and the login
		t.Errorf("the export has %d entries (%v), want %d", len(got.Audit), err, many+2)
	}
	seen := map[uuid.UUID]bool{}
	for _, e := range got.Audit {
		seen[e.ID] = true
	}
	if len(seen) != len(got.Audit) {
		t.Errorf("%d entries occur twice", len(got.Audit)-len(seen))
	}

	part := s.export(a)
	if _, err := io.ReadFull(part, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	acquired := int64(-1)
	testkit.WaitFor(t, "a stalled export without a connection", func() bool {
		before := acquired
		acquired = s.db.Stat().AcquireCount()
		return before == acquired && s.db.Stat().AcquiredConns() == 0
	})
	s.call("POST", "/logout", nil, as(a.token)).want(t, 204)
	rest, err := io.ReadAll(part)
	if err == nil || json.Valid(rest) {
		t.Errorf("the export of an ended session was completed: %d bytes", len(rest))
	}
}

// export begins an export of the caller's own data.
func (s *server) export(a account) io.Reader {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+"/users/me/export", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("the response is %d with %v", resp.StatusCode, resp.Header)
	}
	return resp.Body
}

// TestAnExportNeedsBothPermissions exports another user's data with one of the permissions, and with both.
func TestAnExportNeedsBothPermissions(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	for name, permissions := range map[string][]access.Permission{
		"reader": {access.UsersRead}, "auditor": {access.AuditRead}, "officer": {access.UsersRead, access.AuditRead},
	} {
		s.call("PUT", "/roles/"+name, map[string]any{"permissions": permissions}, as(admin.token)).want(t, 200)
		want := 403
		if len(permissions) == 2 {
			want = 200
		}
		caller := s.with(name)
		s.call("GET", a.path()+"/export", nil, as(caller.token)).want(t, want)
		if want == 200 {
			want = 404
		}
		s.call("GET", "/users/"+uuid.NewString()+"/export", nil, as(caller.token)).want(t, want)
	}
}

// TestAnExportCountsAsTenRequests exhausts a quota of 30 with three exports.
func TestAnExportCountsAsTenRequests(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.account = 30 })
	a := s.register()
	for range 3 {
		s.call("GET", "/users/me/export", nil, as(a.token)).want(t, 200)
	}
	s.call("GET", "/users/me/export", nil, as(a.token)).wantProblem(t, 429, "too-many-requests")
	s.call("HEAD", "/users/me", nil, as(a.token)).want(t, 200)
}
