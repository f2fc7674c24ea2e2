package httpapi_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/postgres"
)

// denied returns the audit entries of denied requests, oldest first, in the form "caller target detail".
func (s *server) denied(admin account, names map[uuid.UUID]string) (out []string) {
	s.t.Helper()
	if err := s.api.Finish(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for _, n := range s.trail(admin.token, "limit=100&action=authz_fail", names) {
		out = append(out, fmt.Sprintf("%s %s %s", n.actor, n.about, strings.TrimPrefix(n.what, "authz_fail ")))
	}
	return out
}

// TestADeniedRequestIsRecorded sends requests for which the caller lacks the permission. Requests of anonymous callers and requests that
// are refused for another reason must not be recorded.
func TestADeniedRequestIsRecorded(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, ada, grace := s.admin(), s.register(), s.register()
	s.call("PUT", "/roles/clerk", `{"permissions":["users:write"]}`, as(admin.token)).want(t, 200)
	clerk := s.with("clerk")
	names := map[uuid.UUID]string{ada.ID: "ada", grace.ID: "grace", clerk.ID: "clerk", admin.ID: "admin"}
	me, unknown := as(ada.token), "/users/"+uuid.NewString()
	for _, c := range []struct{ method, path string }{
		{"GET", "/users?q=secret%20search"},
		{"PUT", "/users/me/roles"},
		{"PATCH", grace.path()},
		{"DELETE", unknown},
		{"GET", "/audit-events"},
		{"PUT", "/roles/admin"},
	} {
		s.call(c.method, c.path, `{}`, me).wantProblem(t, 403, "forbidden")
	}
	// Only the transaction of the change finds that the target has more permissions than the caller.
	s.call("PATCH", admin.path(), `{"name":"Ada"}`, as(clerk.token)).wantProblem(t, 403, "forbidden")
	s.call("GET", "/users", nil).want(t, 401)
	s.call("PATCH", "/users/me", `{"email":"a@example.com"}`, me).wantProblem(t, 403, "reauthentication-required")
	s.call("GET", unknown, nil, as(admin.token)).want(t, 404)
	want := []string{
		`ada  {"route":"GET /users"}`,
		`ada ada {"route":"PUT /users/{id}/roles"}`,
		`ada grace {"route":"PATCH /users/{id}"}`,
		`ada  {"route":"DELETE /users/{id}"}`, // the target does not exist; the caller's IP address is still recorded
		`ada  {"route":"GET /audit-events"}`,
		`ada  {"route":"PUT /roles/{name}"}`,
		`clerk admin {"route":"PATCH /users/{id}"}`,
	}
	if diff := cmp.Diff(want, s.denied(admin, names)); diff != "" {
		t.Errorf("entries of denied requests (-want +got):\n%s", diff)
	}
}

func TestTenDeniedRequestsAMinuteAreRecorded(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, ada := s.admin(), s.register()
	for range 25 {
		s.call("GET", "/roles", nil, as(ada.token)).want(t, 403)
	}
	got := s.denied(admin, map[uuid.UUID]string{ada.ID: "ada"})
	const once, last = `ada  {"route":"GET /roles"}`, `ada  {"route":"GET /roles","suppressed":15}`
	want := []string{once, once, once, once, once, once, once, once, once, last}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries of denied requests (-want +got):\n%s", diff)
	}
}

// TestADenialDoesNotWaitForTheAuditTrail denies requests while the table of the audit trail is locked.
func TestADenialDoesNotWaitForTheAuditTrail(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, ada := s.admin(), s.register()
	conn := s.connect()
	defer func() { _ = conn.Close(t.Context()) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 9 {
		s.call("GET", "/roles", nil, as(ada.token)).want(t, 403)
	}
	if took := time.Since(began); took > 10*time.Second { // a request that waits for the lock takes 1.8 s
		t.Errorf("nine denials took %s, want at most 10 s", took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.denied(admin, nil); len(got) == 0 {
		t.Error("the audit trail has no denials, want some")
	}
}

// TestADenialOfAnErasedCallerKeepsIDsOnly denies requests and then erases the caller's account. Some entries are written after the erasure.
// The cleaner must remove the IP address and the request id from all of them.
func TestADenialOfAnErasedCallerKeepsIDsOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, ada := s.admin(), s.register()
	for range 10 {
		s.call("GET", "/roles", nil, as(ada.token)).want(t, 403)
	}
	s.call("DELETE", "/users/me", nil, as(ada.token)).want(t, 204)
	if err := s.api.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.execute(`UPDATE erasures SET erased_at = erased_at - interval '1 minute'`)
	cleaner := postgres.Cleaner{DB: s.db, AuditRetention: time.Hour, Observer: unobservedCleanup{}, Log: slog.New(slog.DiscardHandler)}
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := s.audit(admin.token, "limit=100&action=authz_fail")
	for _, e := range entries {
		if *e.ActorID != ada.ID || e.IP+e.RequestID != "" {
			t.Errorf("after the erasure the entry is %+v, want the caller's id, no IP address and no request id", e)
		}
	}
	if len(entries) != 10 {
		t.Errorf("%d entries, want 10", len(entries))
	}
}
