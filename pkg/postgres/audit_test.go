package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestEntriesHaveTheTimeOfTheDatabase records entries from a replica whose clock is a day ahead of the database's clock. The times and
// ids of the entries must come from the database's clock.
func TestEntriesHaveTheTimeOfTheDatabase(t *testing.T) {
	t.Parallel()
	db := postgrestest.Connect(t, postgrestest.WithClock(t, postgrestest.URL(t), "-1 day"), nil)
	for range 20 {
		if err := db.RecordAudit(t.Context(), user.Audit{Action: user.LoginFailed}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := db.AuditEvents(t.Context(), user.AuditFilter{Limit: 100})
	if err != nil || len(page.Events) != 20 {
		t.Fatalf("the page has %d entries (%v), want 20", len(page.Events), err)
	}
	for _, e := range page.Events {
		inID := time.Unix(e.ID.Time().UnixTime())
		if late := time.Since(e.Time); late < 23*time.Hour || late > 25*time.Hour {
			t.Errorf("the entry %s has the time %s, want the time of the database's clock, which is a day behind", e.ID, e.Time)
		}
		if e.ID.Version() != 7 || e.ID.Variant() != uuid.RFC4122 || inID.Sub(e.Time).Abs() > time.Millisecond {
			t.Errorf("%s has version %d and the time %s, want version 7 and %s", e.ID, e.ID.Version(), inID, e.Time)
		}
	}
	if !slices.IsSortedFunc(page.Events, func(a, b user.AuditEvent) int { return b.Time.Compare(a.Time) }) {
		t.Errorf("the entries are %+v, want the newest first", page.Events)
	}
}

// TestExpiryUsesTheDatabasesClock runs the cleanup with a database clock that is two days ahead of the replica's clock, and with one that
// is two days behind. The database's clock must decide which rows have expired.
func TestExpiryUsesTheDatabasesClock(t *testing.T) {
	t.Parallel()
	// WithClock changes the clock through the search_path. The function that deletes audit entries sets its own search_path, so it sees
	// the real clock. With a clock two days behind, the entry about the account's creation is therefore two days old for this function,
	// which deletes the entry.
	for difference, want := range map[string]struct{ rows, entries int64 }{"2 days": {0, 8}, "-2 days": {12, 7}} {
		t.Run(difference, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.URL(t)
			db, conn := postgrestest.Connect(t, postgrestest.WithClock(t, dsn, difference), nil), connect(t, dsn)
			fill(t, dsn, create(t, db, "a@example.com"), 5)
			cleaner, _ := newCleaner(db)
			if err := cleaner.Clean(t.Context()); err != nil {
				t.Fatal(err)
			}
			left := countRows(t, conn)
			for _, table := range []string{"sessions", "one_time_tokens", "login_failures"} {
				if left[table] != want.rows {
					t.Errorf("%d rows of %s are left, want %d", left[table], table, want.rows)
				}
			}
			if left["audit_events"] != want.entries {
				t.Errorf("%d audit entries are left, want %d", left["audit_events"], want.entries)
			}
		})
	}
}

// TestMigrationsGrantTheAuditFunctions migrates a database that has two roles. Only one role has default privileges on new tables: only
// this role may call the audit functions after the migrations.
func TestMigrationsGrantTheAuditFunctions(t *testing.T) {
	t.Parallel()
	service, other := postgrestest.NewRole(t, "secret"), postgrestest.NewRole(t, "secret")
	dsn := postgrestest.Empty(t)
	service.UseTablesToCome(dsn)
	postgrestest.Migrate(t, dsn)
	for name, c := range map[string]struct {
		role *postgrestest.Role
		may  bool
	}{"the service": {service, true}, "another": {other, false}} {
		conn := connect(t, c.role.URL(dsn, "secret"))
		for _, query := range []string{
			`SELECT anonymize_audit_events(gen_random_uuid(), 10)`,
			`SELECT delete_expired_audit_events('1 day', 1)`,
		} {
			var n int64
			if err := conn.QueryRow(t.Context(), query).Scan(&n); (err == nil) != c.may {
				t.Errorf("%s calls %s: %v, want success: %t", name, query, err, c.may)
			}
		}
	}
}

// TestAuditRetentionHasAMinimum calls the cleanup function directly, as an attacker with the service's role can. No retention may delete
// entries of the last hour.
func TestAuditRetentionHasAMinimum(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	conn := connect(t, dsn)
	for minutes := range 10 { // 55 to 64 minutes old
		execute(t, dsn, fmt.Sprintf(`INSERT INTO audit_events (id, time, action)
			SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000800000000000000%d')::uuid, at, 'user_updated'
			FROM (SELECT now() - interval '%d minutes' AS at) AS moment`, minutes, 55+minutes))
	}
	deleted := func(retention any, batch int) (n *int64) {
		t.Helper()
		row := conn.QueryRow(t.Context(), `SELECT delete_expired_audit_events($1::text::interval, $2)`, retention, batch)
		if err := row.Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		retention any
		batch     int
		want      int64
	}{{"62 minutes", 100, 3}, {"1000 years", 100, 0}, {"0", 1, 1}, {"-1 year", 100, 1}, {"1 second", 100, 0}} {
		if n := deleted(c.retention, c.batch); n == nil || *n != c.want {
			t.Errorf("with a retention of %v and a batch of %d, %v entries are deleted, want %d", c.retention, c.batch, n, c.want)
		}
	}
	if n := deleted(nil, 100); n != nil {
		t.Errorf("without a retention %d entries are deleted, want NULL", *n)
	}
	var left int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events`).Scan(&left); err != nil || left != 5 {
		t.Errorf("%d entries are left (%v), want the 5 of the last hour", left, err)
	}
}

// TestEntriesOfExistingAccountsAreNotAnonymized calls anonymize_audit_events directly, as an attacker with the service's role can.
func TestEntriesOfExistingAccountsAreNotAnonymized(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u, gone := create(t, db, "a@example.com"), uuid.New()
	execute(t, dsn, fmt.Sprintf(`INSERT INTO audit_events (id, time, action, actor_id, user_id, ip, request_id)
		SELECT gen_random_uuid(), now(), action, actor::uuid, about::uuid, '198.51.100.7', 'r' FROM (VALUES
			('user_updated', '%[1]s', '%[1]s'), ('user_updated', '%[1]s', '%[2]s'), ('user_updated', '%[2]s', NULL),
			('user_deleted', '%[1]s', '%[2]s'), ('authn_login_fail', NULL, NULL)) AS made (action, actor, about)`, u.ID, gone))
	for id, want := range map[uuid.UUID]int{u.ID: 0, gone: 2, uuid.Nil: 0} {
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT anonymize_audit_events($1, 10)`, id).Scan(&n); err != nil || n != want {
			t.Errorf("%d entries of %s are changed (%v), want %d", n, id, err, want)
		}
	}
	rows, err := conn.Query(t.Context(),
		`SELECT DISTINCT user_id::text FROM audit_events WHERE ip IS NULL AND request_id IS NULL AND action = 'user_updated'`)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := pgx.CollectRows(rows, pgx.RowTo[*string]); err != nil || len(ids) != 2 {
		t.Errorf("the anonymized entries are about %v (%v), want 2 different users", ids, err)
	}
}
