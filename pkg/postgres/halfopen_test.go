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
	// requestTime is what the API gives one request.
	requestTime = 1800 * time.Millisecond
	// soon is the time of one request and of a new connection, and ample on a busy machine. It is 15 s or more where a dead
	// connection keeps its place, or where each costs a request.
	soon = 5 * time.Second
)

// occupy opens all connections of a DB at once, by changes that wait for each other.
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

// several makes as many users as there are connections for other requests than logins.
func several(t *testing.T, db *postgres.DB) []user.User {
	t.Helper()
	users := make([]user.User, 6)
	for i := range users {
		users[i] = create(t, db, string(rune('a'+i))+"@example.com")
	}
	return users
}

// request makes a call as a request does.
func request(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return call(ctx)
}

// TestDeadConnectionsFreeTheirPlaces has all open connections fall silent while new ones work. Requests of clients that
// try again at once succeed soon, also where the connections were in use the moment before.
func TestDeadConnectionsFreeTheirPlaces(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"in use": 0, "idle": 1100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSilencer(t)
			db := postgrestest.Connect(t, s.dsn, nil)
			users := several(t, db)
			occupy(t, db, users)
			<-time.After(idle) //nolint:forbidigo // connections that were used later than that are not asked whether they answer
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
				t.Errorf("the last client was served after %s", took)
			}
		})
	}
}

// TestOneClientOutlastsDeadConnections asks one request after the other: it must not meet the dead connections one by one.
func TestOneClientOutlastsDeadConnections(t *testing.T) {
	t.Parallel()
	s := newSilencer(t)
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
		t.Errorf("%d requests failed, in %s", failures, took)
	}
}

// TestCloseIsBounded closes a DB whose connections are silent: idle ones, and one in the middle of a query.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	s := newSilencer(t)
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
		t.Error("a silent server answers")
	}
	began := time.Now()
	closing, cancelClosing := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancelClosing()
	db.Close(closing)
	if took := time.Since(began); took > time.Second {
		t.Errorf("Close took %s of 200 ms", took)
	}
	db.Close(t.Context()) // the same without a deadline of its own
	if took := time.Since(began); took > soon {
		t.Errorf("the connections were closed after %s, want 1 s", took)
	}
	if _, err := db.User(t.Context(), users[0].ID); !isUnavailable(err) {
		t.Errorf("a query after that: %v, want Unavailable", err)
	}
}

// isUnavailable reports whether a request gets 503 for an error.
func isUnavailable(err error) bool {
	var known *user.Error
	return errors.As(err, &known) && known.Code == user.Unavailable && known.RetryAfter > 0
}

// TestAProbeNeedsNoConnectionOfItsOwn lets the server refuse all new connections, while those of the pool go on.
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
		t.Errorf("the pool serves, and Ping fails: %v", err)
	}
	if version, err := db.SchemaVersion(t.Context()); err != nil || version == 0 {
		t.Errorf("the schema is %d (%v)", version, err)
	}
}

// TestAPoolThatLendsNothingIsNotReady takes all connections for longer than requests do.
func TestAPoolThatLendsNothingIsNotReady(t *testing.T) {
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
		t.Errorf("a busy pool is not ready: %v", err)
	}
	if !testkit.Await(t.Context(), 4*time.Second, func() bool { return ping() != nil }) {
		t.Fatal("ready, though nobody has got a connection for 4 s")
	}
	close(release)
	done.Wait()
	if err := ping(); err != nil {
		t.Errorf("not ready again: %v", err)
	}
}
