package postgres_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// cleaned is an observer that counts the rows that a Cleaner deletes.
type cleaned struct {
	mu      sync.Mutex
	rows    map[string]int64
	largest int64
}

func (r *cleaned) CleanupRows(table string, rows int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[table] += rows
	r.largest = max(r.largest, rows)
}

func (*cleaned) CleanupDone(error) {}

func newCleaner(db *postgres.DB) (*postgres.Cleaner, *cleaned) {
	seen := &cleaned{rows: map[string]int64{}}
	return &postgres.Cleaner{DB: db, AuditRetention: 24 * time.Hour, Observer: seen, Log: slog.New(slog.DiscardHandler)}, seen
}

// fill inserts n expired rows and 7 valid rows into each table that the cleanup deletes from.
func fill(t *testing.T, dsn string, u user.User, n int) {
	t.Helper()
	for over, rows := range map[bool]int{true: n, false: 7} {
		ends, began, from := "+ interval '1 minute'", "- interval '23 hours'", "11.0.0.0"
		if over {
			ends, began, from = "- interval '1 second'", "- interval '25 hours'", "10.0.0.0"
		}
		execute(t, dsn, fmt.Sprintf(`
			INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at)
				SELECT gen_random_uuid(), '%[1]s', 0, now(), now(), now() %[3]s FROM generate_series(1, %[2]d);
			INSERT INTO one_time_tokens (token_hash, purpose, user_id, email_key, created_at, expires_at)
				SELECT decode(md5(random()::text), 'hex'), 'password_reset', '%[1]s', 'a', now() %[4]s, now() %[3]s
				FROM generate_series(1, %[2]d);
			INSERT INTO token_mailboxes (email_hash, purpose, sent_at)
				SELECT decode(md5(random()::text), 'hex'), 'password_reset', now() - interval '10 minutes' %[3]s
					FROM generate_series(1, %[2]d);
			INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until)
				SELECT decode(md5(random()::text), 'hex'), 9, now() %[4]s, now() %[4]s FROM generate_series(1, %[2]d);
			INSERT INTO password_failures (subject_hash, network, failures, failed_at, blocked_until)
				SELECT decode(md5(random()::text), 'hex'), '192.0.2.0/24', 9, now() %[4]s, now() %[4]s FROM generate_series(1, %[2]d);
			INSERT INTO login_networks (user_id, network, first_login_at, last_login_at)
				SELECT '%[1]s', set_masklen('%[5]s'::inet + n * 256, 24)::cidr, now() - interval '200 days',
					now() %[4]s - interval '89 days'
				FROM generate_series(1, %[2]d) n;
			INSERT INTO idempotency_keys (key_hash, body_mac, user_id, response, created_at)
				SELECT decode(md5(random()::text), 'hex'), 'a', '%[1]s', '{}', now() %[4]s FROM generate_series(1, %[2]d);
			INSERT INTO mails_sent (event_id, claimed_at, sent_at)
				SELECT gen_random_uuid(), now() %[4]s - interval '29 days', now() FROM generate_series(1, %[2]d);
			INSERT INTO factors (id, user_id, type, name, created_at)
				SELECT gen_random_uuid(), '%[1]s', 'totp', 'Phone', now() - interval '1 hour' %[3]s FROM generate_series(1, %[2]d);
			INSERT INTO login_challenges (challenge_hash, user_id, email_key, password_at, expires_at)
				SELECT decode(md5(random()::text), 'hex'), '%[1]s', 'a', now(), now() %[3]s FROM generate_series(1, %[2]d);
			INSERT INTO passkey_challenges (challenge_hash, expires_at)
				SELECT decode(md5(random()::text), 'hex'), now() %[3]s FROM generate_series(1, %[2]d);
			INSERT INTO audit_events (id, time, action)
				SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0')
					|| '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 1, 15))::uuid,
					moment, 'user_updated' FROM generate_series(1, %[2]d) n, (SELECT now() %[4]s AS moment) m`, u.ID,
			rows, ends, began, from))
	}
}

// countRows returns the number of rows in each table.
func countRows(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, table := range append(postgres.CleanedTables(), "users", "credentials", "user_roles", "roles", "outbox") {
		var n int64
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out[table] = n
	}
	return out
}

func TestExpiredRowsAreDeletedInBatches(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com") // adds an audit entry, which has not expired
	fill(t, dsn, u, 2500)
	cleaner, seen := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{
		"sessions": 7, "one_time_tokens": 7, "token_mailboxes": 7, "login_failures": 7, "password_failures": 7, "login_networks": 7,
		"mails_sent": 7, "idempotency_keys": 7, "factors": 7, "login_challenges": 7, "passkey_challenges": 7,
		"audit_events": 8, "users": 1, "credentials": 1, "user_roles": 1, "roles": 2, "outbox": 1,
	}
	if diff := cmp.Diff(want, countRows(t, conn)); diff != "" {
		t.Errorf("the rows that are left (-want +got):\n%s", diff)
	}
	for _, table := range postgres.CleanedTables() {
		if seen.rows[table] != 2500 {
			t.Errorf("the observer counted %d deleted rows of %s, want 2500", seen.rows[table], table)
		}
	}
	if seen.largest != 1000 {
		t.Errorf("the largest batch has %d rows, want 1000", seen.largest)
	}
}

// TestOneReplicaCleansUpAtATime holds the lock of the cleanup, as a replica does while it cleans up. A second replica must delete nothing
// until the lock is free.
func TestOneReplicaCleansUpAtATime(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	fill(t, dsn, create(t, db, "a@example.com"), 5)
	before := countRows(t, conn)
	other, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, int64(0x757365725f726561)); err != nil {
		t.Fatal(err)
	}
	cleaner, _ := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, countRows(t, conn)); diff != "" {
		t.Errorf("a second replica cleaned up concurrently (-want +got):\n%s", diff)
	}
	if err := other.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := countRows(t, conn)["sessions"]; got != 7 {
		t.Errorf("%d sessions are left after the other replica ended, want 7", got)
	}
}

// TestCleanupWaitsForNoLock locks two expired sessions, as a request may do. The cleanup must skip these two and delete all other expired
// rows.
func TestCleanupWaitsForNoLock(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	fill(t, dsn, create(t, db, "a@example.com"), 5)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const lockTwo = `SELECT FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() LIMIT 2) FOR UPDATE`
	if _, err := tx.Exec(t.Context(), lockTwo); err != nil {
		t.Fatal(err)
	}
	cleaner, seen := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen.rows["sessions"] != 3 || seen.rows["one_time_tokens"] != 5 {
		t.Errorf("the deleted rows are %v, want the 3 sessions without a lock and all 5 one-time tokens", seen.rows)
	}
}
