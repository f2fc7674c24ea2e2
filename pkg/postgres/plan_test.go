package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// crowd inserts 100,000 users with their rows in other tables. 1 % of the users are disabled, and 5 are admins.
const crowd = `
	INSERT INTO users (id, email, email_key, name, name_key, status, version, created_at, updated_at)
	SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, k, k, 'Name ' || n, 'name ' || n,
		CASE WHEN n % 100 = 0 THEN 'disabled' ELSE 'active' END, 1, now(), now()
	FROM (SELECT n, md5(n::text) || '@example.com' k FROM generate_series(1, 100000) n) s;
	INSERT INTO credentials SELECT id, 'hash', now() FROM users;
	INSERT INTO user_roles SELECT id, 'user' FROM users;
	INSERT INTO user_roles SELECT id, 'admin' FROM users WHERE version = 1 ORDER BY id LIMIT 5;
	INSERT INTO sessions SELECT id, id, 0, now(), now(), now() + interval '1 hour' FROM users;
	INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data, retry_at, refusals)
	SELECT id, 'user.created', id, 1, now(), '{}', CASE WHEN n <= 30000 THEN now() + n * interval '1 s' END,
		CASE WHEN n <= 30000 THEN n % 2 ELSE 0 END
	FROM (SELECT id, row_number() OVER (ORDER BY id) n FROM users) s;
	INSERT INTO login_networks SELECT id, '192.0.2.0/24', now(), now() FROM users;
	INSERT INTO login_failures SELECT sha256(id::text::bytea), 1, now(), now() FROM users;
	INSERT INTO password_failures SELECT sha256(id::text::bytea), '192.0.2.0/24', 1, now(), now() FROM users;
	ANALYZE;`

// TestHotQueriesReadFewRows runs the queries of requests on a database with 100,000 users. It then checks in PostgreSQL's statistics how
// many rows were read. No plan may read a whole table, neither by a sequential scan nor by an index scan.
func TestHotQueriesReadFewRows(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	execute(t, dsn, crowd)
	conn := connect(t, dsn)
	db := postgrestest.Connect(t, dsn, nil)
	before := rowsRead(t, conn)

	id, other := uuid.MustParse("00000000-0000-7000-8000-000000000777"), uuid.MustParse("00000000-0000-7000-8000-000000000778")
	ctx := t.Context()
	run := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 8 { // PostgreSQL may use a generic plan after 5 executions
		run(db.Identify(ctx, id, id))
		_, _, err := db.FindSession(ctx, id)
		run(nil, err)
		run(db.User(ctx, id))
		run(db.CredentialOf(ctx, id))
		_, err = db.Credential(ctx, "somebody@example.com")
		run(nil, err)
		for _, f := range []user.Filter{
			{},
			{After: id},
			{Email: "somebody@example.com"},
			{Prefix: "abc"},
			{Prefix: "name 7777"},
			{Prefix: "name 7777", After: id},
			{Role: "admin"},
			{Role: "user", After: id},
			{Status: user.Disabled},
			{Status: user.Active, Role: "admin", Prefix: "zzz"},
		} {
			f.Limit = 20
			run(db.Users(ctx, f))
		}
		_, _, err = db.RotateSession(ctx, id, func(s user.Session, _ time.Time) user.Rotation {
			s.Counter++
			return user.Rotation{Outcome: user.Rotated, Session: s}
		})
		run(nil, err)
		run(nil, db.UpgradeHash(ctx, id, "hash", "hash"))
		run(nil, rename(ctx, db, id, nil))
		run(db.Change(ctx, access.Internal(other), func(ctx context.Context, tx user.Tx, _ user.User) (user.Change, error) {
			_, err := tx.AnotherActiveAdmin(ctx, id)
			return user.Change{EndSessions: true}, err
		}))
		attempted := user.Attempt{Email: "somebody@example.com", Network: home}
		run(db.LoginFailures(ctx, attempted))
		run(db.RecordAttempt(ctx, attempted, func(g user.LoginFailures) (user.LoginDecision, error) {
			e, err := event.New(event.LockedOut, id, 0, g.Now, event.LockOut{ID: id})
			return user.LoginDecision{Failure: &g, LockedOut: e, Audit: []user.Audit{{Action: user.LoginFailed, UserID: id}}}, err
		}))
		u, err := db.User(ctx, id)
		run(u, err)
		run(nil, login(ctx, db, u))
		run(db.Sessions(ctx, id))
		_, _ = db.TokenHolder(ctx, user.TokenHash{7}, user.PasswordReset) // no such token exists
		run(db.AuditEvents(ctx, user.AuditFilter{Limit: 20, UserID: uuid.NullUUID{UUID: id, Valid: true}}))
		run(db.AuditEvents(ctx, user.AuditFilter{Limit: 20, Action: user.LoginFailed}))
		run(db.AuditEvents(ctx, user.AuditFilter{Limit: 20}))
		limits := outbox.Limits{Events: 100, Retries: 20, Bytes: 1 << 20}
		run(db.Drain(ctx, limits, func(_ context.Context, w []outbox.Waiting) []outbox.Outcome { return confirmAll(len(w)) }))
	}
	run(db.Change(ctx, access.Internal(id), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{Delete: true}, nil
	}))
	db.Close(t.Context())

	// A list reads one page. A list by a prefix reads all users with this prefix: 24 and 11 users here.
	const most = 8 * 400
	for table, n := range rowsRead(t, conn) {
		if read := n - before[table]; read > most {
			t.Errorf("%d rows of %s were read, want at most %d", read, table, most)
		}
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// execute runs SQL statements on a new connection.
func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rowsRead returns for each table how many rows were read, by sequential scans and by index scans together. It first waits until all
// other sessions have ended, because a backend reports its last statistics when it ends.
func rowsRead(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	for others := 1; others > 0; {
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&others)
		if err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]int64{}
	rows, err := conn.Query(t.Context(), `SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables`)
	if err != nil {
		t.Fatal(err)
	}
	var table string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&table, &n}, func() error { out[table] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}
