package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// TestTheServiceNeedsNoPrivilegeToChangeTheAuditTrail runs every operation with a database role that may not change or delete entries
// of the audit trail.
func TestTheServiceNeedsNoPrivilegeToChangeTheAuditTrail(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"public", "accounts"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			database := postgrestest.NewSeparate(t, schema)
			s := start(t, func(set *settings) { set.database = database.Service })
			admin := s.admin()
			for path, item := range contract.doc.Paths.Map() {
				for method, operation := range item.Operations() {
					s.call("PUT", "/roles/spare", `{"permissions":[]}`, as(admin.token)).want(t, 200)
					s.callAllowed(method, path, operation.OperationID)
				}
			}
			if err := s.api.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.relayAndClean(database.Owner)
			s.wantTrailUnchangeable()
		})
	}
}

// callAllowed calls an operation once as an allowed caller, with a new target user.
func (s *server) callAllowed(method, path, name string) {
	s.t.Helper()
	target, op := s.register(), operations[name]
	caller, token := "admin", s.admin().token
	switch {
	case op.who.anyone:
		caller, token = "anonymous", ""
	case op.who.self && op.who.permission == "":
		caller, token = "self", target.token
	}
	s.callAbout(target, method, path, name, caller, token, op.status)
}

// relayAndClean removes the events from the outbox. It then runs the cleaner while the audit trail has an expired entry and an entry with
// the IP address of an erased user.
func (s *server) relayAndClean(owner string) {
	s.t.Helper()
	erased := s.register()
	s.call("DELETE", "/users/me", nil, as(erased.token)).want(s.t, 204)
	admin := s.admin()
	if entries := s.audit(admin.token, "user_id="+erased.ID.String()); len(entries) == 0 || entries[0].IP != "" {
		s.t.Errorf("the entries of the erased user are %+v, want some without an IP address", entries)
	}
	conn, err := pgx.Connect(s.t.Context(), owner)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(s.t.Context()) }()
	if _, err := conn.Exec(s.t.Context(), `
		UPDATE erasures SET erased_at = now() - interval '1 hour';
		INSERT INTO audit_events (id, time, action, user_id, ip)
			SELECT '00000000-0000-7000-8000-000000000001', now(), 'authn_login_fail', NULL, '198.51.100.7';
		INSERT INTO audit_events (id, time, action, user_id, ip)
			SELECT 'ffffffff-0000-7000-8000-000000000001', now(), 'authn_login_fail', user_id, '198.51.100.8'
			FROM erasures ORDER BY erased_at DESC LIMIT 1`); err != nil {
		s.t.Fatal(err)
	}
	limits := outbox.Limits{Events: 1000, Retries: 1000, Bytes: 1 << 20}
	if _, err := s.db.Drain(s.t.Context(), limits, func(_ context.Context, waiting []outbox.Waiting) []outbox.Outcome {
		return slices.Repeat([]outbox.Outcome{{Result: outbox.Confirmed}}, len(waiting))
	}); err != nil {
		s.t.Error(err)
	}
	if _, err := s.db.SchemaVersion(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	cleaner := postgres.Cleaner{DB: s.db, AuditRetention: 24 * time.Hour, Observer: unobservedCleanup{}, Log: slog.New(slog.DiscardHandler)}
	if err := cleaner.Clean(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	var left int
	err = conn.QueryRow(s.t.Context(), `SELECT count(*) FROM audit_events WHERE ip << '198.51.100.0/24'`).Scan(&left)
	if err != nil || left != 0 {
		s.t.Errorf("%d expired entries or IP addresses of erased users are left (error %v), want none", left, err)
	}
}

// wantTrailUnchangeable checks that PostgreSQL refuses every statement with which the service's role could change the audit trail.
func (s *server) wantTrailUnchangeable() {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	for _, command := range []string{
		`UPDATE audit_events SET action = 'user_updated'`,
		`UPDATE audit_events SET ip = NULL WHERE false`,
		`DELETE FROM audit_events WHERE false`,
		`TRUNCATE audit_events`,
		`DROP TABLE audit_events`,
		`ALTER TABLE audit_events DISABLE TRIGGER ALL`,
		`CREATE OR REPLACE FUNCTION anonymize_audit_events(erased uuid, batch integer) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'`,
		`DELETE FROM goose_db_version WHERE false`,
	} {
		_, err := conn.Exec(s.t.Context(), command)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			s.t.Errorf("%s: the error is %v, want insufficient_privilege", command, err)
		}
	}
	ask := func(query string, args ...any) (n int) {
		s.t.Helper()
		if err := conn.QueryRow(s.t.Context(), query, args...).Scan(&n); err != nil {
			s.t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	existing := s.register()
	if n := ask(`SELECT anonymize_audit_events($1, 1000)`, existing.ID); n != 0 {
		s.t.Errorf("%d entries about an existing user are changed, want none", n)
	}
	for _, least := range []string{"0", "-1 year", "59 minutes", "1 second", "100 years"} {
		if n := ask(`SELECT delete_expired_audit_events($1::text::interval, 100000)`, least); n != 0 {
			s.t.Errorf("%d new entries are deleted with a retention of %s, want none", n, least)
		}
	}
}
