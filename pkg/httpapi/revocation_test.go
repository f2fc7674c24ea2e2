package httpapi_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
)

// writing is a writing operation of api/openapi.yaml, called by one kind of caller.
type writing struct {
	method, path, name string
	self               bool // the caller acts on its own account
}

// String names the operation in a test's output.
func (w writing) String() string {
	if w.self {
		return w.name + " of one's own"
	}
	return w.name + " by permission"
}

// writings returns all operations of api/openapi.yaml by which an authenticated caller changes something. A logout is not one of them,
// because it is a revocation itself, and an introspection changes nothing.
func writings(t *testing.T) []writing {
	t.Helper()
	var out []writing
	for path, item := range contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			who := operations[operation.OperationID].who
			if method == http.MethodGet || who.anyone || strings.HasPrefix(path, "/verify") || path == "/logout" || path == "/introspect" {
				continue
			}
			if who.self || who.everybody {
				out = append(out, writing{method, path, operation.OperationID, true})
			}
			if who.permission != "" {
				out = append(out, writing{method, path, operation.OperationID, false})
			}
		}
	}
	if len(out) < 15 {
		t.Fatalf("%d writing operations are found, want at least 15", len(out))
	}
	slices.SortFunc(out, func(a, b writing) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// pending is a request that is about to be sent.
type pending struct {
	writing
	caller, target account
	second         account // another session of the caller
	path           string
	body           any
}

// prepare creates the accounts for a request. A caller that needs permissions has the role operator.
func (s *server) prepare(w writing, admin account) pending {
	s.t.Helper()
	admin = s.login(admin) // the test may run longer than an access token is valid
	p := pending{writing: w, target: s.register()}
	p.caller = p.target
	if !w.self {
		all := append(access.Permissions(), "orders:refund")
		s.call("PUT", "/roles/operator", map[string]any{"permissions": all}, as(admin.token)).want(s.t, 200)
		p.caller = s.with("operator")
	}
	s.call("PUT", "/roles/spare", `{"permissions":[]}`, as(admin.token)).want(s.t, 200)
	p.second = s.login(p.target)
	if !w.self {
		p.second = s.login(p.caller)
	}
	sessions := s.sessions("/users/me", p.target.token)
	other := slices.IndexFunc(sessions, func(i session) bool { return !i.Current })
	p.path = strings.NewReplacer("{id}", p.target.ID.String(), "{session_id}", sessions[other].ID.String(), "{name}",
		"spare").Replace(w.path)
	p.path = strings.NewReplacer(s.factorFor(w.name, p.target)...).Replace(p.path)
	if body := operations[w.name].body; body != nil {
		p.body = body(s, p.target)
	}
	if w.name == "inviteUser" {
		p.body = map[string]any{"email": invitedBy(p.target)}
	}
	return p
}

// invitedBy returns the email of the account that a request creates instead of changing its target.
func invitedBy(target account) string { return "invited-" + target.Email }

func (s *server) sendPending(p pending) answer {
	return s.call(p.method, p.path, p.body, as(p.caller.token))
}

// state returns everything that these requests can change. These are the rows of the user, the account that a request may create, the role
// spare, and the user's events in the outbox.
func (s *server) state(conn *pgx.Conn, id uuid.UUID) (state string) {
	s.t.Helper()
	err := conn.QueryRow(context.Background(), `SELECT concat_ws(E'\n',
		(SELECT row_to_json(u) FROM users u WHERE id = $1),
		(SELECT row_to_json(i) FROM users i WHERE email = (SELECT 'invited-' || email FROM users u WHERE id = $1)),
		(SELECT row_to_json(c) FROM credentials c WHERE user_id = $1),
		(SELECT json_agg(role ORDER BY role) FROM user_roles WHERE user_id = $1),
		(SELECT json_agg(s ORDER BY id) FROM sessions s WHERE user_id = $1),
		(SELECT json_agg(t ORDER BY token_hash) FROM one_time_tokens t WHERE user_id = $1),
		(SELECT json_agg(f ORDER BY id) FROM factors f WHERE user_id = $1),
		(SELECT json_agg(c ORDER BY code_hash) FROM recovery_codes c WHERE user_id = $1),
		(SELECT json_agg(r) FROM roles r WHERE name = 'spare'),
		(SELECT json_agg(event_id ORDER BY id) FROM outbox WHERE subject = $1))`, id).Scan(&state)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// losses are the ways in which a caller loses access or a permission.
var losses = map[string]struct {
	refusal int  // Status of the caller's requests after the loss.
	self    bool // Whether callers that act on their own account are affected.
	locks   bool // The loss locks the caller's account, so it cannot happen while another transaction has this lock.
	success int  // Status of the request that causes the loss.
	lose    func(s *server, p pending, admin account) answer
}{
	"logout": {401, true, false, 204, func(s *server, p pending, _ account) answer {
		return s.call("POST", "/logout", nil, as(p.caller.token))
	}},
	"end of all sessions": {401, true, true, 204, func(s *server, p pending, _ account) answer {
		return s.call("DELETE", "/users/me/sessions", nil, as(p.second.token))
	}},
	"disabling": {401, true, true, 200, func(s *server, p pending, admin account) answer {
		return s.call("PUT", p.caller.path()+"/status", `{"status":"disabled"}`, as(admin.token))
	}},
	"erasure": {401, true, true, 204, func(s *server, p pending, admin account) answer {
		return s.call("DELETE", p.caller.path(), nil, as(admin.token))
	}},
	"demotion": {403, false, true, 200, func(s *server, p pending, admin account) answer {
		return s.call("PUT", p.caller.path()+"/roles", `{"roles":["user"]}`, as(admin.token))
	}},
	"narrowing of the role": {403, false, false, 200, func(s *server, _ pending, admin account) answer {
		return s.call("PUT", "/roles/operator", `{"permissions":["orders:refund"]}`, as(admin.token))
	}},
	"deletion of the role": {403, false, false, 204, func(s *server, _ pending, admin account) answer {
		return s.call("DELETE", "/roles/operator", nil, as(admin.token))
	}},
}

// TestEveryWriteChangesSomething checks that the tests below can detect the change of each operation.
func TestEveryWriteChangesSomething(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, conn := s.admin(), s.connect()
	defer func() { _ = conn.Close(context.Background()) }()
	for _, w := range writings(t) {
		p := s.prepare(w, admin)
		before := s.state(conn, p.target.ID)
		s.sendPending(p).want(t, operations[w.name].status)
		if s.state(conn, p.target.ID) == before {
			t.Errorf("%s does not change the compared state, want a change", w)
		}
	}
}

// TestAWaitingWriteIsRefusedAfterRevocation makes each request wait for a locked row. Meanwhile the caller loses access or the permission
// through another replica. The request must be refused and must not change anything.
func TestAWaitingWriteIsRefusedAfterRevocation(t *testing.T) {
	t.Parallel()
	for how, loss := range losses {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			other := start(t, func(set *settings) { set.database = s.dsn })
			admin, conn := s.admin(), s.connect()
			defer func() { _ = conn.Close(context.Background()) }()
			for _, w := range writings(t) {
				if w.self && (!loss.self || loss.locks) {
					continue
				}
				p := s.prepare(w, admin)
				unlock := s.lockTarget(p)
				answered := make(chan answer)
				go func() { answered <- s.sendPending(p) }()
				s.waitForLock()
				loss.lose(other, p, s.login(admin)).want(t, loss.success)
				before := s.state(conn, p.target.ID)
				unlock()
				if got := <-answered; got.status != loss.refusal {
					t.Errorf("%s: status is %d, want %d: %s", w, got.status, loss.refusal, got.body)
				}
				if after := s.state(conn, p.target.ID); after != before {
					t.Errorf("%s is refused but changes the state from\n%s\nto\n%s", w, before, after)
				}
			}
		})
	}
}

// lockTarget locks the row that the request changes. unlock releases the lock.
func (s *server) lockTarget(p pending) (unlock func()) {
	s.t.Helper()
	conn := s.connect()
	tx, err := conn.Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	query, arg := `SELECT FROM users WHERE id = $1 FOR UPDATE`, any(p.target.ID)
	if strings.HasPrefix(p.path, "/roles/") {
		query, arg = `SELECT FROM roles WHERE name = $1 FOR UPDATE`, "spare"
	}
	if p.name == "inviteUser" { // another transaction creates an account with the same email
		query, arg = `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
			VALUES (gen_random_uuid(), $1, $1, 'active', 1, now(), now())`, invitedBy(p.target)
	}
	if _, err := tx.Exec(s.t.Context(), query, arg); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		_ = tx.Rollback(context.Background())
		_ = conn.Close(context.Background())
	}
}

// TestNoWriteFollowsARevocation sends each request while its caller loses access or the permission through another replica. After the
// response to the revocation, the request must not change anything.
func TestNoWriteFollowsARevocation(t *testing.T) {
	t.Parallel()
	const rounds = 20
	for how, loss := range losses {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			other := start(t, func(set *settings) { set.database = s.dsn })
			admin, conn := s.admin(), s.connect()
			defer func() { _ = conn.Close(context.Background()) }()
			for _, w := range writings(t) {
				if w.self && !loss.self {
					continue
				}
				for range rounds {
					p, fresh := s.prepare(w, admin), s.login(admin)
					s.race(conn, p, loss.success, func() answer { return loss.lose(other, p, fresh) })
				}
			}
		})
	}
}

// race sends a request and revokes the caller's access or permission up to 3 ms later.
func (s *server) race(conn *pgx.Conn, p pending, success int, lose func() answer) {
	s.t.Helper()
	answered := make(chan answer)
	go func() { answered <- s.sendPending(p) }()
	<-time.After(rand.N(3 * time.Millisecond)) //nolint:forbidigo // the time of the revocation is random
	// 401: the request has ended the session. 404: the request has deleted the account.
	if got := patiently(lose); got.status != success && got.status != 401 && got.status != 404 {
		s.t.Fatalf("status is %d, want %d: %s", got.status, success, got.body)
	}
	before := s.state(conn, p.target.ID)
	got := <-answered
	if after := s.state(conn, p.target.ID); after != before {
		s.t.Errorf("%s (status %d) changes the state after the revocation from\n%s\nto\n%s", p.writing, got.status, before, after)
	}
}

// TestNoPrivilegeEscalationThroughAnotherAccount checks that users:write and users:delete apply only to accounts that have no more
// permissions than the caller.
func TestNoPrivilegeEscalationThroughAnotherAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, conn := s.admin(), s.connect()
	defer func() { _ = conn.Close(context.Background()) }()
	put := func(role string, permissions ...access.Permission) {
		s.call("PUT", "/roles/"+role, map[string]any{"permissions": permissions}, as(admin.token)).want(t, 200)
	}
	put("support", access.UsersWrite, access.UsersDelete)
	put("refunds", "orders:refund")
	put("all-listed", access.Permissions()...)
	support, allListed := s.with("support"), s.with("all-listed")
	for _, c := range []struct {
		caller account
		target []string
	}{{support, []string{access.Admin}}, {support, []string{"user", "refunds"}}, {allListed, []string{access.Admin}}} {
		for _, w := range writings(t) {
			if w.self || !strings.Contains(w.path, "{id}") || operations[w.name].who.permission == access.RolesAssign {
				continue
			}
			p, admin := s.prepare(w, admin), s.login(admin)
			s.call("PUT", p.target.path()+"/roles", map[string]any{"roles": c.target}, as(admin.token)).want(t, 200)
			p.caller = c.caller
			before := s.state(conn, p.target.ID)
			if got := s.sendPending(p); got.status != 403 || before != s.state(conn, p.target.ID) {
				t.Errorf("%s on an account with the roles %v: status is %d, want 403 and no change: %s", w, c.target, got.status, got.body)
			}
			s.call("PUT", p.target.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
			s.sendPending(p).want(t, operations[w.name].status)
		}
	}
	s.call("DELETE", s.with(access.Admin, "refunds").path(), nil, as(admin.token)).want(t, 204) // admin covers every permission
}

// TestAnAdminsChangeOfAnEmailEndsTheSessions checks that an attacker who has taken over the account loses access.
func TestAnAdminsChangeOfAnEmailEndsTheSessions(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	s.call("PATCH", a.path(), `{"name":"Ada"}`, as(admin.token)).want(t, 200)
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
	s.call("PATCH", a.path(), map[string]any{"email": "new-" + a.Email}, as(admin.token)).want(t, 200)
	s.isOut(a)
}
