package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// postgresFaults are faults of the database server.
var postgresFaults = []fault{
	restartOfPostgreSQL("PostgreSQL restarted", database.stop),
	restartOfPostgreSQL("PostgreSQL restarted without a checkpoint", database.quit),
	restartOfPostgreSQL("PostgreSQL killed", database.crash),
	{
		kind: "PostgreSQL paused", lane: postgreSQL, least: 300 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			if err := r.server().signal(syscall.SIGSTOP); err != nil {
				return err
			}
			testkit.Pause(ctx, s.lasts)
			return r.server().signal(syscall.SIGCONT)
		},
	},
	{
		// The session may hold locks of the server itself, for which the sessions of all replicas wait.
		kind: "a session of PostgreSQL paused", lane: postgreSQL, least: 300 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Database: true, Locks: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			pid, state := r.awaitSession(ctx, s.replica, s.variant)
			if pid == 0 {
				return fmt.Errorf("%w: replica %d is %s", errNotInjected, s.replica, state)
			}
			f.Start = r.now()
			f.Detail = fmt.Sprintf("of replica %d %s", s.replica, state)
			if err := syscall.Kill(pid, syscall.SIGSTOP); errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("%w: the session has ended", errNotInjected)
			} else if err != nil {
				return fmt.Errorf("pause a session: %w", err)
			}
			testkit.Pause(ctx, s.lasts)
			return syscall.Kill(pid, syscall.SIGCONT)
		},
	},
	{
		kind: "sessions of PostgreSQL terminated", lane: postgreSQL, least: 0, most: time.Second,
		means: history.Fault{Database: true, Cuts: 2},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			if err := r.sql(ctx, terminateSessions); err != nil {
				return err
			}
			testkit.Pause(ctx, s.lasts)
			return r.sql(ctx, terminateSessions)
		},
	},
	{
		kind: "database read-only", lane: postgreSQL, least: 500 * time.Millisecond, most: 2 * time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			err := r.sql(ctx, `ALTER DATABASE app SET default_transaction_read_only = on`, terminateSessions)
			testkit.Pause(ctx, s.lasts)
			return errors.Join(err, r.sql(ctx, mayWrite, `ALTER DATABASE app RESET default_transaction_read_only`), r.reconnectPooler(ctx))
		},
	},
	{
		kind: "table locked", lane: postgreSQL, least: 300 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			return r.lockTable(ctx, s, f)
		},
	},
	{
		kind: "lock_timeout from outside", lane: postgreSQL, least: 500 * time.Millisecond, most: 2 * time.Second,
		means: history.Fault{Database: true, Cuts: 2},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			err := r.sql(ctx, `ALTER ROLE app SET lock_timeout = '100ms'`, terminateSessions)
			return errors.Join(err, r.lockTable(ctx, s, f), r.sql(ctx, `ALTER ROLE app RESET lock_timeout`, terminateSessions))
		},
	},
	{
		// This also happens when a standby with a different clock is promoted, or when a time server corrects the clock.
		kind: "clock of PostgreSQL set", lane: postgreSQL, least: 0, most: 3 * time.Second,
		means: history.Fault{Clock: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			f.Detail = [...]string{"2 hours", "-2 hours"}[s.variant%2]
			err := r.sql(ctx, `UPDATE clock.offsets SET wrong = interval '`+f.Detail+`'`)
			testkit.Pause(ctx, s.lasts)
			return errors.Join(err, r.sql(ctx, `UPDATE clock.offsets SET wrong = interval '0'`))
		},
	},
	{
		kind: "disk of the outbox full", lane: postgreSQL, only: plain, possible: mountable,
		least: 500 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			filled, err := r.disk.fill()
			f.Detail = fmt.Sprintf("%d KiB", filled>>10)
			testkit.Pause(ctx, s.lasts)
			return errors.Join(err, r.disk.empty())
		},
	},
}

// restartOfPostgreSQL returns a fault that restarts the server.
func restartOfPostgreSQL(kind string, end func(database) error) fault {
	return fault{
		kind: kind, lane: postgreSQL, least: 0, most: time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			if err := end(r.server()); err != nil {
				return err
			}
			testkit.Pause(ctx, s.lasts)
			return r.server().up()
		},
	}
}

// mayWrite allows writes in a session that began as read-only.
const mayWrite = `SET default_transaction_read_only = off`

// setClock gives the service's role an adjustable clock: the schema clock precedes pg_catalog in the search path of the role.
const setClock = `
	CREATE SCHEMA clock;
	CREATE TABLE clock.offsets (wrong interval NOT NULL);
	INSERT INTO clock.offsets VALUES ('0');
	CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
		AS $$ SELECT pg_catalog.now() + (SELECT wrong FROM clock.offsets) $$;
	CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT pg_catalog.clock_timestamp() + (SELECT wrong FROM clock.offsets) $$;
	GRANT USAGE ON SCHEMA clock TO app;
	GRANT SELECT ON clock.offsets TO app;
	ALTER ROLE app SET search_path = public, clock, pg_catalog`

// terminateSessions ends all sessions of the service.
const terminateSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`

// lockTable locks the table that the variant selects, as a migration or CREATE INDEX does.
func (r *rig) lockTable(ctx context.Context, s step, f *history.Fault) error {
	tables, modes := []string{"users", "sessions", "outbox", "audit_events", "credentials", "roles"}, []string{"ACCESS EXCLUSIVE", "SHARE"}
	table, mode := tables[s.variant%len(tables)], modes[s.variant/len(tables)%len(modes)]
	f.Detail = table + " IN " + mode + " MODE"
	return r.admin(ctx, func(conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if _, err := tx.Exec(ctx, `LOCK TABLE `+table+` IN `+mode+` MODE`); err != nil {
			return err
		}
		testkit.Pause(ctx, s.lasts)
		return nil
	})
}
