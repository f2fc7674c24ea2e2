package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// lockTime is the maximum time for which a client that has disappeared may hold locks.
const lockTime = 10 * time.Second

// brief returns a context with a short deadline.
func brief(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// within repeats requests until one succeeds. The test fails after limit, or at an error other than Unavailable.
func within(t *testing.T, limit time.Duration, what string, call func(context.Context) error) {
	t.Helper()
	began := time.Now()
	for {
		err := request(t.Context(), call)
		switch took := time.Since(began); {
		case took > limit:
			t.Fatalf("%s took %s, the last error is %v, want success within %s", what, took, err, limit)
		case err == nil:
			return
		case !isUnavailable(err):
			t.Fatalf("%s: %v, want Unavailable until success", what, err)
		}
	}
}

// TestTheLocksOfAVanishedClientEnd drops all packets of a replica during a transaction. Another replica must get the locks within
// lockTime.
func TestTheLocksOfAVanishedClientEnd(t *testing.T) {
	t.Parallel()
	for name, through := range ways {
		for what, transaction := range map[string]func(ctx context.Context, db *postgres.DB, u user.User, middle func()) error{
			"a change of an account": func(ctx context.Context, db *postgres.DB, u user.User, middle func()) error {
				_, err := db.Change(ctx, access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
					middle()
					return user.Change{EndSessions: true, InvalidateTokens: true}, nil
				})
				return err
			},
			"an attempt at a password": func(ctx context.Context, db *postgres.DB, u user.User, middle func()) error {
				attempt := user.Attempt{Email: u.Email, Network: home}
				_, err := db.RecordAttempt(ctx, attempt, func(g user.LoginFailures) (user.LoginDecision, error) {
					middle()
					return user.LoginDecision{Failure: &g}, nil
				})
				return err
			},
			"a change of a role": func(ctx context.Context, db *postgres.DB, _ user.User, middle func()) error {
				role := access.Role{Name: "clerk", Permissions: []access.Permission{"a:b"}}
				return db.PutRole(ctx, access.Internal(uuid.Nil), role, func(int) error {
					middle()
					return nil
				}, anyRole)
			},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				dsn := postgrestest.URL(t)
				other := postgrestest.Connect(t, dsn, nil)
				u := create(t, other, "a@example.com")
				network := silence(t, through(t, dsn))
				if err := transaction(brief(t), postgrestest.Connect(t, network.dsn, nil), u, network.stopAll); !isUnavailable(err) {
					t.Fatalf("a transaction without a network: %v, want Unavailable", err)
				}
				within(t, lockTime, "the same transaction on another replica", func(ctx context.Context) error {
					return transaction(ctx, other, u, func() {})
				})
			})
		}
	}
}

// TestAVanishedClientThatWaitsForALockHoldsNoOther drops all packets of a replica while its transaction holds one lock and waits for
// another lock. Another replica must get the held lock within lockTime.
func TestAVanishedClientThatWaitsForALockHoldsNoOther(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	network := silence(t, dsn)
	db, other, holder := postgrestest.Connect(t, network.dsn, nil), postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, other, "a@example.com")
	s := session(t, other, u)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE`, s.ID); err != nil {
		t.Fatal(err)
	}
	var vanishing sync.WaitGroup
	vanishing.Go(func() {
		if _, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
			return user.Change{EndSessions: true}, nil
		}); !isUnavailable(err) {
			t.Errorf("a change without a network: %v, want Unavailable", err)
		}
	})
	postgrestest.WaitForLock(t, connect(t, dsn))
	network.stopAll()
	within(t, lockTime, "a change of the account, while the session is still locked", func(ctx context.Context) error {
		_, err := other.Change(ctx, access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
			return user.Change{}, nil
		})
		return err
	})
	network.closeAll()
	vanishing.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}

// waitForTheClient waits until the server is blocked while it sends a response.
func waitForTheClient(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	testkit.WaitFor(t, "a session that waits for its client", func() (waits bool) {
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'ClientWrite')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
}

// TestAVanishedReaderHoldsNoTable drops all packets of a replica during a long response, so that the server can't finish sending. The
// server must release the table soon after lockTime.
func TestAVanishedReaderHoldsNoTable(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	network := silence(t, dsn)
	db, conn := postgrestest.Connect(t, network.dsn, nil), connect(t, dsn)
	create(t, db, "a@example.com")
	execute(t, dsn, fmt.Sprintf(`
		INSERT INTO users (id, email, email_key, metadata, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n || '@example.com', n || '@example.com', '{"x": "%s"}', 'active', 1, now(), now()
		FROM generate_series(1, 2000) n`,
		strings.Repeat("x", 8000)))
	if _, err := db.Users(t.Context(), user.Filter{Limit: 1}); err != nil { // prepares the statement
		t.Fatal(err)
	}
	network.deaf.Store(true)
	network.all.Store(true) // cancel requests do not arrive either
	if _, err := db.Users(brief(t), user.Filter{Limit: 2000}); !isUnavailable(err) {
		t.Fatalf("a query whose response is not read: %v, want Unavailable", err)
	}
	waitForTheClient(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), lockTime+2*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, `ALTER TABLE users ADD COLUMN another text`); err != nil {
		t.Errorf("the table is still locked after %s: %v", lockTime+2*time.Second, err)
	}
}

// TestAVanishedMigrationHoldsNoTable drops all packets of a migration that waits for a lock on a table. The server must release the table
// within lockTime.
func TestAVanishedMigrationHoldsNoTable(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, dsn, through string) {
		network := silence(t, through)
		m, conn := newMigrator(t, network.dsn), connect(t, dsn)
		for done := int64(0); done != 10; { // the next migration to roll back, 9, changes a table in a transaction
			result, err := m.Down(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done = result.Source.Version
		}
		holder, err := connect(t, dsn).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := holder.Exec(t.Context(), `LOCK TABLE audit_events IN ACCESS SHARE MODE`); err != nil {
			t.Fatal(err)
		}
		var migrating sync.WaitGroup
		migrating.Go(func() {
			if _, err := m.Down(t.Context()); err == nil {
				t.Error("a migration without a network succeeds, want an error")
			}
		})
		postgrestest.WaitForLock(t, conn)
		network.stopAll()
		if err := holder.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), lockTime)
		defer cancel()
		if _, err := conn.Exec(ctx, `SELECT 1 FROM audit_events`); err != nil {
			t.Errorf("the table is still locked after %s: %v", lockTime, err)
		}
		network.closeAll()
		migrating.Wait()
	})
}
