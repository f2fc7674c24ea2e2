package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
)

// loggedIn inserts 2500 users, and for each user an audit entry about a login.
const loggedIn = `
	INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
	SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 2500) n;
	INSERT INTO audit_events (id, time, action, user_id, ip)
	SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || substr(replace(id::text, '-', ''), 14))::uuid,
		now(), 'authn_login_success', id, '198.51.100.7' FROM users`

// TestTheMigrationOfNetworksLocksNoUser locks one user, as a slow change does. The migration must not wait for this lock, because a
// waiting migration would block changes of other users.
func TestTheMigrationOfNetworksLocksNoUser(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	m := beforeNetworks(t, dsn)
	execute(t, dsn, loggedIn)
	conn := connect(t, dsn)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM users WHERE email = '2000' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := m.Up(ctx); err != nil {
		t.Fatalf("the migration waits for a user: %v", err)
	}
	var networks, valid int
	err = tx.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM login_networks), (SELECT count(*) FROM pg_constraint
		WHERE conrelid = 'login_networks'::regclass AND contype = 'f' AND convalidated AND confdeltype = 'c')`).Scan(&networks, &valid)
	if err != nil || networks != 2500 || valid != 1 {
		t.Errorf("%d networks and %d validated foreign keys exist (%v), want 2500 and 1", networks, valid, err)
	}
}

// TestAMigrationTriesALockAgain holds locks that the migration needs. Requests on the table must continue while the migration tries
// to get its lock, and the migration must succeed after the locks are released.
func TestAMigrationTriesALockAgain(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	m := beforeNetworks(t, dsn)
	execute(t, dsn, loggedIn)
	before, request := connect(t, dsn), connect(t, dsn)
	// The first lock blocks the beginning of the migration, the second lock the part after the migration has copied the networks.
	for _, table := range []string{"credentials", "users"} {
		mode := map[string]string{"credentials": "ACCESS SHARE", "users": "ROW EXCLUSIVE"}[table]
		tx, err := before.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `LOCK TABLE `+table+` IN `+mode+` MODE`); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := m.Up(ctx); ended <- err }()
		testkit.WaitFor(t, "a migration that waits", func() bool { return waitsFor(t, request, table) })
		if _, err := request.Exec(t.Context(),
			`SET statement_timeout = '10s'; UPDATE `+table+` SET `+column[table]+` = '' WHERE false`); err != nil {
			t.Errorf("a request on %s: %v, want none to wait as long as the lock is held", table, err)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("the migration succeeded during a lock of %s", table)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, dsn, `DELETE FROM users WHERE email = '1'`)
	tx, err := before.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE users IN ROW EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := m.Up(t.Context()); ended <- err }()
	testkit.WaitFor(t, "a migration that waits", func() bool { return waitsFor(t, request, "users") })
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("after the lock was released: %v", err)
	}
	var n int
	if err := before.QueryRow(t.Context(), `SELECT count(*) FROM login_networks`).Scan(&n); err != nil || n != 2499 {
		t.Errorf("%d networks are stored (%v), want 2499", n, err)
	}
}

var column = map[string]string{"credentials": "password_hash", "users": "name"}

// waitsFor reports whether a statement waits for the lock of a table.
func waitsFor(t *testing.T, conn *pgx.Conn, table string) (waits bool) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, table).Scan(&waits)
	if err != nil {
		t.Fatal(err)
	}
	return waits
}
