package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// give returns a decision that replaces a user's roles, as Service.SetRoles does. It calls the function meanwhile at the time when the
// account and the roles are locked.
func give(meanwhile func(), roles ...string) user.Decide {
	return func(ctx context.Context, tx user.Tx, u user.User) (user.Change, error) {
		known, err := tx.Roles(ctx, roles)
		if err != nil || len(known) < len(roles) {
			return user.Change{}, err
		}
		meanwhile()
		u.Roles = roles
		u.Version++
		e, err := event.New(event.UserUpdated, u.ID, u.Version, time.Now(), event.Updated{User: u, Changed: []string{"roles"}})
		return user.Change{User: &u, Events: []event.Event{e}, Audit: []user.Audit{{Action: user.RolesChanged}}}, err
	}
}

// take returns a decision that removes a role from a user, as the deletion of the role does.
func take(role string) func(user.User) (user.Change, error) {
	return func(u user.User) (user.Change, error) {
		rest := slices.DeleteFunc(slices.Clone(u.Roles), func(r string) bool { return r == role })
		return give(func() {}, rest...)(context.Background(), noRoles{}, u)
	}
}

// clerk is a role that tests create and delete.
var clerk = access.Role{Name: "clerk", Permissions: []access.Permission{}}

// noRoles is a Tx that finds every role, without a database.
type noRoles struct{ user.Tx }

func (noRoles) Roles(_ context.Context, names []string) ([]access.Role, error) {
	return make([]access.Role, len(names)), nil
}

// TestAChangeSeesTheChangeThatItWaitedFor starts a second change of a user while a first one replaces the user's roles. The second change
// waits for the user's row, and must then see the new roles, although these are rows of another table.
func TestAChangeSeesTheChangeThatItWaitedFor(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, other, conn := postgrestest.Connect(t, dsn, nil), postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com")
	var seen []string
	var wg sync.WaitGroup
	_, err := db.Change(t.Context(), access.Internal(u.ID), give(func() {
		wg.Go(func() {
			_, err := other.Change(t.Context(), access.Internal(u.ID),
				func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
					seen = u.Roles
					return user.Change{}, nil
				})
			if err != nil {
				t.Error(err)
			}
		})
		postgrestest.WaitForLock(t, conn)
	}, "admin", "user"))
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if diff := cmp.Diff([]string{"admin", "user"}, seen); diff != "" {
		t.Errorf("the roles that the second change reads (-want +got):\n%s", diff)
	}
}

// TestAChangeThatNeverGetsItsLockNamesItsOperation changes a user whose row another transaction keeps locked. Some changes end while
// they wait in a statement. The others end between two tries, and their error must have the code of the last try.
func TestAChangeThatNeverGetsItsLockNamesItsOperation(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com")
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, u.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	const most = 50
	between := false
	for n := 0; n < most && !between; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err = db.Change(ctx, access.Internal(u.ID), give(func() {}, "user"))
		cancel()
		var known *user.Error
		if !errors.As(err, &known) || known.Code != user.Unavailable || known.RetryAfter == 0 || known.Err == nil {
			t.Fatalf("the error is %#v, want Unavailable with a cause", err)
		}
		cause := known.Err.Error()
		if !strings.HasPrefix(cause, "change a user: ") {
			t.Errorf("the cause is %q, want the operation", cause)
		}
		between = strings.Contains(cause, "55P03")
	}
	if !between {
		t.Errorf("none of %d causes has the code of a lock that is not available", most)
	}
}

// TestADeletedRoleIsRemovedFromAllUsers deletes a role that a user has, while a concurrent change gives the role to another user. Neither
// may have it afterwards.
func TestADeletedRoleIsRemovedFromAllUsers(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	before, during := create(t, db, "a@example.com"), create(t, db, "b@example.com")
	if err := db.PutRole(t.Context(), access.Internal(uuid.Nil), clerk, anySize, anyRole); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change(t.Context(), access.Internal(before.ID), give(func() {}, "clerk", "user")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	_, err := db.Change(t.Context(), access.Internal(during.ID), give(func() {
		wg.Go(func() {
			if err := db.DeleteRole(t.Context(), access.Internal(uuid.Nil), "clerk", 10, anyRole, take("clerk")); err != nil {
				t.Error(err)
			}
		})
		postgrestest.WaitForLock(t, conn)
	}, "clerk", "user"))
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for id, version := range map[uuid.UUID]int64{before.ID: 3, during.ID: 3} {
		u, err := db.User(t.Context(), id)
		if err != nil || u.Version != version || !slices.Equal(u.Roles, []string{"user"}) {
			t.Errorf("the user is %+v (%v), want version %d and the role user", u, err, version)
		}
	}
	if roles, err := db.Roles(t.Context()); err != nil || len(roles) != 2 {
		t.Errorf("the roles are %+v (%v), want the two built-in ones", roles, err)
	}
}

// TestAWaitingRefreshReadsTheClockAfterItsWait makes a refresh wait for the lock of its session, as for a concurrent refresh of the same
// client. The time that the refresh reads must be later than its wait.
func TestAWaitingRefreshReadsTheClockAfterItsWait(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, holder := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	s := session(t, db, create(t, db, "a@example.com"))
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE`, s.ID); err != nil {
		t.Fatal(err)
	}
	var read, released time.Time
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := db.RotateSession(t.Context(), s.ID, func(_ user.Session, now time.Time) user.Rotation {
			read = now
			return user.Rotation{}
		}); err != nil {
			t.Error(err)
		}
	})
	postgrestest.WaitForLock(t, connect(t, dsn))
	if err := tx.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&released); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if read.Before(released) {
		t.Errorf("the refresh reads the time %s, want a time after %s, when the lock was released", read, released)
	}
}

// TestRefreshesDoNotBlockALogout ends a session while the maximum number of refreshes waits for it. The logout must not be refused.
func TestRefreshesDoNotBlockALogout(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, holder := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	s := session(t, db, create(t, db, "a@example.com"))
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE`, s.ID); err != nil {
		t.Fatal(err)
	}
	refresh := func(ctx context.Context) error {
		_, _, err := db.RotateSession(ctx, s.ID, func(user.Session, time.Time) user.Rotation { return user.Rotation{} })
		return err
	}
	var known *user.Error
	isRefused := func(err error) bool { return errors.As(err, &known) && known.Code == user.TooManyRequests }
	ctx, giveUp := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			testkit.Await(ctx, testkit.Timeout, func() bool { // retries, because statement_timeout ends a waiting refresh
				_ = refresh(ctx)
				return false
			})
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	testkit.WaitFor(t, "a full queue", func() bool { return isRefused(refresh(ended)) })
	if err := request(t.Context(), func(ctx context.Context) error { return db.EndSessionOfToken(ctx, s.ID) }); isRefused(err) {
		t.Errorf("a logout with a full queue of refreshes is refused: %v", err)
	}
	giveUp()
	wg.Wait()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.EndSessionOfToken(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
}

// TestTransactionsDoNotDeadlock concurrently runs all operations that lock more than one row, on the same two users. PostgreSQL would end
// a deadlock after a second, with an error in one of the transactions.
func TestTransactionsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	users := []user.User{create(t, db, "a@example.com"), create(t, db, "b@example.com")}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var done [7]atomic.Int64
	var wg sync.WaitGroup
	for i, work := range []func(context.Context, user.User) error{
		func(ctx context.Context, u user.User) error { return login(ctx, db, u) },
		func(ctx context.Context, u user.User) error { return failWithBackoff(ctx, db, u) },
		func(ctx context.Context, u user.User) error { return fail(ctx, db, u) },
		func(ctx context.Context, u user.User) error { return newPassword(ctx, db, u) },
		func(ctx context.Context, u user.User) error { return redeem(ctx, db, u) },
		func(ctx context.Context, u user.User) error {
			_, err := db.Change(ctx, access.Internal(u.ID), give(func() {}, "clerk", "user"))
			return err
		},
		func(ctx context.Context, _ user.User) error {
			return errors.Join(db.PutRole(ctx, access.Internal(uuid.Nil), clerk, anySize, anyRole),
				db.DeleteRole(ctx, access.Internal(uuid.Nil), "clerk", 10, anyRole, take("clerk")))
		},
	} {
		for n := range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					var server *pgconn.PgError
					var known *user.Error
					err := work(ctx, users[n%2])
					if errors.As(err, &server) && server.Code == "40P01" {
						t.Errorf("operation %d ended in a deadlock: %v", i, err)
						return
					}
					// another operation deleted the role or the token
					if err == nil || errors.As(err, &known) && known.Code == user.NotFound {
						done[i].Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range done {
		if done[i].Load() == 0 {
			t.Errorf("operation %d never succeeded", i)
		}
	}
}

func login(ctx context.Context, db *postgres.DB, u user.User) error {
	cred, err := db.CredentialOf(ctx, u.ID)
	if err != nil {
		return err
	}
	_, err = db.RecordAttempt(ctx, user.Attempt{Email: u.Email, Network: home}, func(g user.LoginFailures) (user.LoginDecision, error) {
		session := &user.Session{
			ID: uuid.Must(uuid.NewV7()), UserID: u.ID, CreatedAt: g.Now, RotatedAt: g.Now,
			ExpiresAt: g.Now.Add(time.Hour),
		}
		e, err := event.New(event.LoggedIn, u.ID, 0, g.Now, event.Session{ID: u.ID, SessionID: session.ID})
		audit := []user.Audit{{Action: user.LoginSucceeded, UserID: u.ID}}
		return user.LoginDecision{Success: true, Session: session, PasswordAt: cred.ChangedAt, Event: e, Audit: audit}, err
	})
	return err
}

// failWithBackoff records a login failure that begins a backoff, with an event.
func failWithBackoff(ctx context.Context, db *postgres.DB, u user.User) error {
	_, err := db.RecordAttempt(ctx, user.Attempt{Email: u.Email, Network: home}, func(g user.LoginFailures) (user.LoginDecision, error) {
		g.Network.Count++
		e, err := event.New(event.LockedOut, u.ID, 0, g.Now, event.LockOut{ID: u.ID})
		return user.LoginDecision{Failure: &g, LockedOut: e, Audit: []user.Audit{{Action: user.LoginBlocked, UserID: u.ID}}}, err
	})
	return err
}

// fail records a login failure that does not begin a backoff. This transaction does not lock the user.
func fail(ctx context.Context, db *postgres.DB, u user.User) error {
	_, err := db.RecordAttempt(ctx, user.Attempt{Email: u.Email, Network: home}, func(g user.LoginFailures) (user.LoginDecision, error) {
		g.Network.Count++
		g.Total.Count++
		return user.LoginDecision{Failure: &g, Audit: []user.Audit{{Action: user.LoginFailed, UserID: u.ID}}}, nil
	})
	return err
}

func newPassword(ctx context.Context, db *postgres.DB, u user.User) error {
	_, err := db.Change(ctx, access.Internal(u.ID), setPassword)
	return err
}

func setPassword(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
	e, err := event.New(event.PasswordChanged, u.ID, u.Version, time.Now(), event.Subject{ID: u.ID})
	return user.Change{
		PasswordHash: "hash", EndSessions: true, InvalidateTokens: true, ClearFailures: true, LoginNetwork: home, Events: []event.Event{e},
	}, err
}

func redeem(ctx context.Context, db *postgres.DB, u user.User) error {
	token := user.OneTimeToken{Purpose: user.PasswordReset, Email: u.Email, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
	_, _ = rand.Read(token.Hash[:])
	if _, err := db.Change(ctx, access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{Token: &token}, nil
	}); err != nil {
		return err
	}
	_, err := db.Redeem(ctx, token.Hash, user.PasswordReset, setPassword)
	return err
}

// TestCallersWhoChangeEachOtherDoNotDeadlock makes two administrators change each other and themselves concurrently.
func TestCallersWhoChangeEachOtherDoNotDeadlock(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var callers [2]access.Caller
	for i, email := range []string{"a@example.com", "b@example.com"} {
		u := create(t, db, email)
		if _, err := db.Change(ctx, access.Internal(u.ID), give(func() {}, access.Admin, access.User)); err != nil {
			t.Fatal(err)
		}
		callers[i] = access.Caller{UserID: u.ID, SessionID: session(t, db, u).ID, Permissions: access.Permissions()}
	}
	var done [2]atomic.Int64
	var wg sync.WaitGroup
	for n := range 8 {
		by, about := callers[n%2], callers[n/2%2]
		wg.Go(func() {
			for ctx.Err() == nil {
				grant := access.SelfOr(access.UsersWrite).Grant(by, about.UserID)
				_, err := db.Change(ctx, grant, func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
					u.Version++
					return user.Change{User: &u}, nil
				})
				var server *pgconn.PgError
				switch {
				case err == nil:
					done[n%2].Add(1)
				case errors.As(err, &server) && server.Code == "40P01", ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("change %d fails: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if done[0].Load() == 0 || done[1].Load() == 0 {
		t.Errorf("the administrators made %d and %d changes, want some of each", done[0].Load(), done[1].Load())
	}
}

// TestTheRoleOfACallerIsLockedDuringAChange tries to lock the caller's role during a change of the caller's own account. The role must be
// locked until the change is committed.
func TestTheRoleOfACallerIsLockedDuringAChange(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com")
	assigns := access.Role{Name: "assigns", Permissions: []access.Permission{access.RolesAssign}}
	if err := db.PutRole(t.Context(), access.Internal(uuid.Nil), assigns, anySize, anyRole); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change(t.Context(), access.Internal(u.ID), give(func() {}, "assigns", "user")); err != nil {
		t.Fatal(err)
	}
	caller := access.Caller{UserID: u.ID, SessionID: session(t, db, u).ID, Permissions: assigns.Permissions}
	grant := access.Only(access.RolesAssign).Grant(caller, u.ID)
	_, err := db.Change(t.Context(), grant, func(context.Context, user.Tx, user.User) (user.Change, error) {
		_, err := conn.Exec(t.Context(), `SELECT 1 FROM roles WHERE name = 'assigns' FOR NO KEY UPDATE NOWAIT`)
		var server *pgconn.PgError
		if !errors.As(err, &server) || server.Code != "55P03" {
			t.Errorf("the lock of the role gives %v, want lock_not_available (55P03) until the change is committed", err)
		}
		return user.Change{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// anySize allows permissions of any total size.
func anySize(int) error { return nil }

// anyRole allows a change of any role.
func anyRole(*access.Role) error { return nil }

// TestWaitsForLockedAccountsKeepNoConnection sends a request for each of two accounts that another transaction has locked, with a pool of
// two connections. Requests for a third account must succeed meanwhile.
func TestWaitsForLockedAccountsKeepNoConnection(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: dsn, MaxConns: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	first, second, other := create(t, db, "first@example.com"), create(t, db, "second@example.com"), create(t, db, "other@example.com")
	holder, err := connect(t, dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT 1 FROM users WHERE id <> $1 FOR UPDATE`, other.ID); err != nil {
		t.Fatal(err)
	}
	waiting, giveUp := context.WithTimeout(t.Context(), time.Minute)
	defer giveUp()
	var requests sync.WaitGroup
	for _, u := range []user.User{first, second} {
		requests.Go(func() {
			if err := rename(waiting, db, u.ID, nil); err != nil {
				t.Errorf("a request fails after the lock was released: %v", err)
			}
		})
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 1800*time.Millisecond) // the time of a request
		if err := rename(ctx, db, other.ID, nil); err != nil {
			t.Errorf("the change of another account fails: %v", err)
		}
		cancel()
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
	requests.Wait()
}
