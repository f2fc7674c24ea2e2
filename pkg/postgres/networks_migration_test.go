package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

// loggedIn makes so many users, and an entry of the audit trail for a login of each.
const loggedIn = `
	INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
	SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 2500) n;
	INSERT INTO audit_events (id, time, action, user_id, ip)
	SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || substr(replace(id::text, '-', ''), 14))::uuid,
		now(), 'authn_login_success', id, '198.51.100.7' FROM users`

// TestTheMigrationOfNetworksLocksNoUser holds the lock of one, such as that of a change that takes long: the migration does
// not wait for it, and so it keeps no lock of the others that changes would wait for.
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
	if err := tx.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM login_networks),
		(SELECT count(*) FROM pg_constraint WHERE conrelid = 'login_networks'::regclass AND contype = 'f' AND convalidated AND confdeltype = 'c')`).
		Scan(&networks, &valid); err != nil || networks != 2500 || valid != 1 {
		t.Errorf("%d networks of 2500 users, %d references to users, want 1 (%v)", networks, valid, err)
	}
}

// TestAMigrationThatWaitsForALockGivesUp, as others wait for it meanwhile. When the lock is free it goes on.
func TestAMigrationThatWaitsForALockGivesUp(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	m := beforeNetworks(t, dsn)
	execute(t, dsn, loggedIn)
	before := connect(t, dsn)
	for _, table := range []string{"credentials", "users"} { // the one stops it at its beginning, the other behind what is copied
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
			t.Errorf("beside a lock of %s: %v, want that the lock was not to be had", table, err)
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
		t.Errorf("%d networks of 2499 users that are left (%v)", n, err)
	}
}
