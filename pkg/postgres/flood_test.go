package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// support is the role of the callers in these tests, who make one change after another without a pause.
var support = access.Role{Name: "support", Permissions: []access.Permission{access.UsersWrite}}

// supporters creates n users with the role support, and returns them as callers.
func supporters(t *testing.T, db *postgres.DB, n int) []access.Caller {
	t.Helper()
	if err := db.PutRole(t.Context(), access.Internal(uuid.Nil), support, anySize, anyRole); err != nil {
		t.Fatal(err)
	}
	callers := make([]access.Caller, n)
	for i := range callers {
		u := create(t, db, fmt.Sprintf("support-%d@example.com", i))
		if _, err := db.Change(t.Context(), access.Internal(u.ID), give(func() {}, "support", "user")); err != nil {
			t.Fatal(err)
		}
		callers[i] = access.Caller{UserID: u.ID, SessionID: session(t, db, u).ID, Permissions: support.Permissions}
	}
	return callers
}

// flood starts goroutines in which each caller repeatedly changes accounts other than its own. stop ends them and returns the number of
// changes. Each change holds its locks for 5 ms, so that the locks of concurrent changes overlap.
func flood(t *testing.T, dsn string, callers []access.Caller) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var changes atomic.Int64
	var wg sync.WaitGroup
	replicas := []*postgres.DB{postgrestest.Connect(t, dsn, nil), postgrestest.Connect(t, dsn, nil), postgrestest.Connect(t, dsn, nil)}
	for i := range 24 {
		db := replicas[i%len(replicas)]
		grant := access.SelfOr(access.UsersWrite).Grant(callers[i%len(callers)], create(t, db, fmt.Sprintf("victim-%d@example.com", i)).ID)
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := db.Change(ctx, grant, func(ctx context.Context, _ user.Tx, _ user.User) (user.Change, error) {
					holding, release := context.WithTimeout(ctx, 5*time.Millisecond)
					defer release()
					<-holding.Done()
					return user.Change{}, nil
				})
				if err == nil {
					changes.Add(1)
				}
			}
		})
	}
	return func() int64 {
		cancel()
		wg.Wait()
		return changes.Load()
	}
}

// withRetries makes a request up to three times until it succeeds: on a busy machine, a request may time out.
func withRetries(t *testing.T, call func(context.Context) error) (err error) {
	t.Helper()
	for range 3 {
		if err = request(t.Context(), call); err == nil {
			return nil
		}
	}
	return err
}

// TestManyChangesDoNotKeepTheirCallerFromBeingDisabled changes a caller who changes other accounts without a pause. If these changes held
// overlapping shared locks on the caller, the change of the caller would wait forever.
func TestManyChangesDoNotKeepTheirCallerFromBeingDisabled(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	admins := postgrestest.Connect(t, dsn, nil)
	caller := supporters(t, admins, 1)[0]
	stop := flood(t, dsn, []access.Caller{caller})
	for range 5 {
		err := withRetries(t, func(ctx context.Context) error {
			_, err := admins.Change(ctx, access.Internal(caller.UserID),
				func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
					u.Version++
					return user.Change{User: &u}, nil
				})
			return err
		})
		if err != nil {
			t.Errorf("the caller can't be changed: %v", err)
		}
	}
	if stop() == 0 {
		t.Error("the caller made no change")
	}
}

// TestManyChangesOfRolesDoNotKeepOthersFromChangingUsers changes roles without a pause. Meanwhile, an administrator must be able to
// change a user: this change locks the roles that its permission comes from.
func TestManyChangesOfRolesDoNotKeepOthersFromChangingUsers(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	admins := postgrestest.Connect(t, dsn, nil)
	admin, other := supporters(t, admins, 1)[0], create(t, admins, "other@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	var changes atomic.Int64
	var wg sync.WaitGroup
	for replica := range 3 {
		db := postgrestest.Connect(t, dsn, nil)
		for i := range 4 {
			role := access.Role{Name: fmt.Sprintf("junk-%d-%d", replica, i), Permissions: []access.Permission{}}
			wg.Go(func() {
				for ctx.Err() == nil {
					if db.PutRole(ctx, access.Internal(uuid.Nil), role, anySize, anyRole) == nil {
						changes.Add(1)
					}
				}
			})
		}
	}
	testkit.WaitFor(t, "changes of roles", func() bool { return changes.Load() > 100 })
	for range 5 {
		err := withRetries(t, func(ctx context.Context) error {
			_, err := admins.Change(ctx, access.SelfOr(access.UsersWrite).Grant(admin, other.ID),
				func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
					u.Version++
					return user.Change{User: &u}, nil
				})
			return err
		})
		if err != nil {
			t.Errorf("a user can't be changed: %v", err)
		}
	}
	cancel()
	wg.Wait()
}

// TestManyChangesDoNotKeepARoleFromBeingNarrowed changes and deletes a role while callers with this role change other accounts without a
// pause.
func TestManyChangesDoNotKeepARoleFromBeingNarrowed(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	admins := postgrestest.Connect(t, dsn, nil)
	stop := flood(t, dsn, supporters(t, admins, 4))
	for range 5 {
		err := withRetries(t, func(ctx context.Context) error {
			return admins.PutRole(ctx, access.Internal(uuid.Nil), support, anySize, anyRole)
		})
		if err != nil {
			t.Errorf("the role can't be changed: %v", err)
		}
	}
	err := withRetries(t, func(ctx context.Context) error {
		return admins.DeleteRole(ctx, access.Internal(uuid.Nil), "support", 10, anyRole, take("support"))
	})
	if err != nil {
		t.Errorf("the role can't be deleted: %v", err)
	}
	if stop() == 0 {
		t.Error("the callers made no change")
	}
}
