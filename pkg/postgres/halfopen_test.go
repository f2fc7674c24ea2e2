package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

const (
	// requestTime is the time limit of a request in the API.
	requestTime = 1800 * time.Millisecond
	// soon is the maximum time for one request and a new connection, with a margin for a slow machine. If dead connections stayed in the
	// pool, or if each dead connection made a request fail, the test would take 15 s or more.
	soon = 5 * time.Second
)

// occupy opens all connections of a DB. It runs one change for each user, and each change keeps its connection until all changes have
// begun.
func occupy(t *testing.T, db *postgres.DB, users []user.User) {
	t.Helper()
	var all, done sync.WaitGroup
	all.Add(len(users))
	for _, u := range users {
		done.Go(func() {
			_, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
				all.Done()
				all.Wait()
				return user.Change{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

// several creates as many users as there are connections for requests other than logins.
func several(t *testing.T, db *postgres.DB) []user.User {
	t.Helper()
	users := make([]user.User, 6)
	for i := range users {
		users[i] = create(t, db, string(rune('a'+i))+"@example.com")
	}
	return users
}

// request runs a call with the time limit of a request.
func request(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return call(ctx)
}

// TestDeadConnectionsAreReplaced silences all open connections, while new connections work. Clients that retry immediately must soon
// succeed, whether the connections were in use just before or idle.
func TestDeadConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"in use": 0, "idle": 1100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, _, through string) {
				s := silence(t, through)
				db := postgrestest.Connect(t, s.dsn, nil)
				users := several(t, db)
				occupy(t, db, users)
				<-time.After(idle) //nolint:forbidigo // the pool checks only connections that were idle for a second
				s.age.Add(1)
				began := time.Now()
				var asking sync.WaitGroup
				for _, u := range users {
					asking.Go(func() {
						for request(t.Context(), func(ctx context.Context) error { _, err := db.User(ctx, u.ID); return err }) != nil {
							if t.Context().Err() != nil {
								return
							}
						}
					})
				}
				asking.Wait()
				if took := time.Since(began); took > soon {
					t.Errorf("the last client got a response after %s, want %s at most", took, soon)
				}
			})
		})
	}
}

// TestOneClientRecoversFromDeadConnections sends requests one after another while all open connections are dead. At most two requests may
// fail, not one for each dead connection.
func TestOneClientRecoversFromDeadConnections(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _, through string) {
		s := silence(t, through)
		db := postgrestest.Connect(t, s.dsn, nil)
		users := several(t, db)
		occupy(t, db, users)
		s.age.Add(1)
		failures := 0
		began := time.Now()
		for ; failures < 10; failures++ {
			if request(t.Context(), func(ctx context.Context) error { _, err := db.User(ctx, users[0].ID); return err }) == nil {
				break
			}
		}
		if took := time.Since(began); failures > 2 || took > soon {
			t.Errorf("%d requests failed in %s, want at most 2 in %s", failures, took, soon)
		}
	})
}

// TestCloseIsBounded closes a DB whose connections are silent. One connection is running a query; the others are idle.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _, through string) {
		s := silence(t, through)
		db := postgrestest.Connect(t, s.dsn, nil)
		users := several(t, db)
		occupy(t, db, users)
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.stopAll()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := db.User(ctx, users[0].ID); err == nil {
			t.Error("a query through a silent connection succeeds, want an error")
		}
		began := time.Now()
		closing, cancelClosing := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancelClosing()
		db.Close(closing)
		if took := time.Since(began); took > time.Second {
			t.Errorf("Close took %s, want 200 ms, its deadline, and at most 1 s", took)
		}
		db.Close(t.Context()) // without a deadline
		if took := time.Since(began); took > soon {
			t.Errorf("the connections were closed after %s, want 1 s, and %s at most", took, soon)
		}
		if _, err := db.User(t.Context(), users[0].ID); !isUnavailable(err) {
			t.Errorf("a query after Close: %v, want Unavailable", err)
		}
	})
}

// isUnavailable reports whether the API responds to an error with 503.
func isUnavailable(err error) bool {
	var known *user.Error
	return errors.As(err, &known) && known.Code == user.Unavailable && known.RetryAfter > 0
}

// TestAProbeNeedsNoConnectionOfItsOwn makes the server refuse all new connections, while the connections of the pool still work. The
// checks of readiness must succeed.
func TestAProbeNeedsNoConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	role := postgrestest.NewRole(t, "secret")
	dsn := postgrestest.URL(t)
	role.Use(dsn)
	db := postgrestest.Connect(t, role.URL(dsn, "secret"), nil)
	if _, err := db.Roles(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Credential(t.Context(), "a@example.com"); err != nil {
		t.Fatal(err)
	}
	role.Limit(0)
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping fails while the pool has connections: %v", err)
	}
	if version, err := db.SchemaVersion(t.Context()); err != nil || version == 0 {
		t.Errorf("the schema has version %d (%v), want the current version", version, err)
	}
}

// TestAnExhaustedPoolIsNotReady holds all connections for longer than a request may take. Readiness must fail, and must succeed again
// after the connections are free.
func TestAnExhaustedPoolIsNotReady(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	users := several(t, db)
	if err := db.Ping(t.Context()); err != nil { // opens the connections that it needs
		t.Fatal(err)
	}
	release := make(chan struct{})
	var busy, done sync.WaitGroup
	busy.Add(len(users))
	for _, u := range users {
		done.Go(func() {
			_, _ = db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
				busy.Done()
				<-release
				return user.Change{}, nil
			})
		})
	}
	busy.Wait()
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return db.Ping(ctx)
	}
	if err := ping(); err != nil {
		t.Errorf("Ping fails while the pool is busy for a short time: %v", err)
	}
	if !testkit.Await(t.Context(), 4*time.Second, func() bool { return ping() != nil }) {
		t.Fatal("Ping succeeds although no caller got a connection for 4 s, want an error")
	}
	close(release)
	done.Wait()
	if err := ping(); err != nil {
		t.Errorf("Ping fails after the connections are free again: %v", err)
	}
}
