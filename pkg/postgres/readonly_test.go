package postgres_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// writableSoon is the maximum time for which writes may fail after the server is writable again. It includes a second for the call
// on a slow machine.
const writableSoon = 2 * time.Second

// change returns a call that changes an account and publishes no event.
func change(db *postgres.DB, u user.User) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := db.Change(ctx, access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
			return user.Change{EndSessions: true}, nil
		})
		return err
	}
}

// protect makes new sessions of a database read-only, and ends all open sessions.
func protect(t *testing.T, dsn string) {
	t.Helper()
	execute(t, dsn, `ALTER DATABASE `+databaseOf(t, dsn)+` SET default_transaction_read_only = on`)
	execute(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// release makes new sessions writable again.
func release(t *testing.T, dsn string) {
	t.Helper()
	execute(t, postgrestest.ServerURL(t), `ALTER DATABASE `+databaseOf(t, dsn)+` RESET default_transaction_read_only`)
}

func databaseOf(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path[1:]
}

// eachWay runs a test twice: with a direct connection to the database, and through PgBouncer.
func eachWay(t *testing.T, test func(t *testing.T, dsn, through string)) {
	t.Helper()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.URL(t)
			test(t, dsn, way(t, dsn))
		})
	}
}

// eachWayAs does the same as eachWay with a role that the test can change. The URL through uses this role; dsn does not.
func eachWayAs(t *testing.T, test func(t *testing.T, role *postgrestest.Role, dsn, through string)) {
	t.Helper()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := postgrestest.NewRole(t, "password")
			dsn := postgrestest.URL(t)
			role.Use(dsn)
			test(t, role, dsn, way(t, role.URL(dsn, "password")))
		})
	}
}

// ways are the ways to connect to a database. Each function returns the URL for its way.
var ways = map[string]func(t *testing.T, dsn string) string{
	"directly":         func(_ *testing.T, dsn string) string { return dsn },
	"behind PgBouncer": func(t *testing.T, dsn string) string { t.Helper(); return postgrestest.PgBouncer(t, dsn, 6) },
}

// TestAReadOnlyDatabaseIsReadUntilItIsWritable opens all connections while the database is read-only. Reads must succeed, writes must
// fail with Unavailable, and soon after the database is writable again, all writes must succeed.
func TestAReadOnlyDatabaseIsReadUntilItIsWritable(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, dsn, through string) {
		db := postgrestest.Connect(t, through, nil)
		users := several(t, db)
		protect(t, dsn)
		read := func() error { _, err := db.User(t.Context(), users[0].ID); return err }
		within(t, writableSoon, "the first read by a new connection", func(context.Context) error { return read() })
		var writing sync.WaitGroup
		for _, u := range users { // so that all connections are read-only
			writing.Go(func() {
				if err := request(t.Context(), change(db, u)); !isUnavailable(err) {
					t.Errorf("a write to a read-only database: %v, want Unavailable", err)
				}
			})
		}
		writing.Wait()
		if err := read(); err != nil {
			t.Errorf("a read while writes are refused: %v, want success", err)
		}
		release(t, dsn)
		for _, u := range users {
			within(t, writableSoon, "a write", change(db, u))
		}
		for _, u := range users { // on all connections
			writing.Go(func() {
				if err := request(t.Context(), change(db, u)); err != nil {
					t.Errorf("a write after writes succeed again: %v, want success", err)
				}
			})
		}
		writing.Wait()
	})
}

// TestAnOldReadOnlyConnectionFailsNoRequest opens connections while the database is read-only, and makes the first writes after the
// database is writable again. These writes must succeed.
func TestAnOldReadOnlyConnectionFailsNoRequest(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, dsn, through string) {
		db := postgrestest.Connect(t, through, nil)
		users := several(t, db)
		protect(t, dsn)
		var reading sync.WaitGroup
		for _, u := range users {
			reading.Go(func() {
				within(t, writableSoon, "a read", func(ctx context.Context) error { _, err := db.User(ctx, u.ID); return err })
			})
		}
		reading.Wait()
		release(t, dsn)
		<-time.After(300 * time.Millisecond) //nolint:forbidigo // only sessions older than 250 ms are ended, see sessionState
		for _, u := range users {
			if err := request(t.Context(), change(db, u)); err != nil {
				t.Errorf("a write on an old connection: %v, want success", err)
			}
		}
	})
}

// TestACleanupReplacesReadOnlyConnections writes only through the cleanup. The cleanup must succeed soon after the database is writable
// again.
func TestACleanupReplacesReadOnlyConnections(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	cleaner, _ := newCleaner(db)
	protect(t, dsn)
	within(t, writableSoon, "a read", func(ctx context.Context) error { _, err := db.Roles(ctx); return err })
	if err := cleaner.Clean(t.Context()); err == nil {
		t.Error("the cleanup succeeds on a read-only database, want an error")
	}
	release(t, dsn)
	for began := time.Now(); ; {
		err := cleaner.Clean(t.Context())
		if err == nil {
			return
		}
		if time.Since(began) > writableSoon {
			t.Fatal(err)
		}
	}
}
