package postgres_test

import (
	"context"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestALockTimeoutIsUnavailable sets a short lock_timeout for the role, and locks tables. Reads and changes must fail with Unavailable.
func TestALockTimeoutIsUnavailable(t *testing.T) {
	t.Parallel()
	eachWayAs(t, func(t *testing.T, role *postgrestest.Role, dsn, through string) {
		role.Set("lock_timeout = '100ms'")
		db, conn := postgrestest.Connect(t, through, nil), connect(t, dsn)
		u := create(t, db, "a@example.com")
		s := session(t, db, u)
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `LOCK TABLE users, sessions`); err != nil {
			t.Fatal(err)
		}
		for what, call := range map[string]func(context.Context) error{
			"a read":   func(ctx context.Context) error { _, err := db.User(ctx, u.ID); return err },
			"a change": change(db, u),
			"a refresh": func(ctx context.Context) error {
				_, _, err := db.RotateSession(ctx, s.ID, func(user.Session, time.Time) user.Rotation { return user.Rotation{} })
				return err
			},
		} {
			if err := request(t.Context(), call); !isUnavailable(err) {
				t.Errorf("%s: %v, want Unavailable", what, err)
			}
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPreparedStatementsSurviveAMigration changes a column that prepared statements use, then deallocates the statements, then ends the
// sessions. No call may fail.
func TestPreparedStatementsSurviveAMigration(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	users := several(t, db)
	calls := func(what string) {
		for _, u := range users {
			for name, call := range map[string]func(context.Context) error{
				"a read":   func(ctx context.Context) error { _, err := db.User(ctx, u.ID); return err },
				"a list":   func(ctx context.Context) error { _, err := db.Users(ctx, user.Filter{Limit: 10}); return err },
				"a login":  func(ctx context.Context) error { return fail(ctx, db, u) },
				"a change": change(db, u),
			} {
				if err := request(t.Context(), call); err != nil {
					t.Errorf("%s %s: %v, want success", name, what, err)
				}
			}
		}
	}
	occupy(t, db, users)
	calls("before the change")
	for _, typ := range []string{"varchar(300)", "text"} {
		execute(t, dsn, `ALTER TABLE users ALTER COLUMN name TYPE `+typ)
		calls("after a change of the type to " + typ)
	}
	db.Everywhere(t, `DEALLOCATE ALL`)
	calls("without prepared statements")
	occupy(t, db, users)
	execute(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	calls("after the end of the sessions")
}
