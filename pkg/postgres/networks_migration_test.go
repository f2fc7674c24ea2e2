package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

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

// TestAMigrationThatWaitsForALockGivesUp holds locks that the migration needs. The migration must soon fail, because requests would wait
// behind it. After the locks are released, it must succeed.
func TestAMigrationThatWaitsForALockGivesUp(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	m := beforeNetworks(t, dsn)
	execute(t, dsn, loggedIn)
	before := connect(t, dsn)
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
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if _, err := m.Up(ctx); err == nil || !strings.Contains(err.Error(), "55P03") {
			t.Errorf("during a lock of %s: %v, want lock_not_available (55P03)", table, err)
		}
		cancel()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, dsn, `DELETE FROM users WHERE email = '1'`)
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := before.QueryRow(t.Context(), `SELECT count(*) FROM login_networks`).Scan(&n); err != nil || n != 2499 {
		t.Errorf("%d networks are stored (%v), want 2499", n, err)
	}
}
