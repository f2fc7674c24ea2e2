package postgres_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

func clearFailures(context.Context, user.Tx, user.User) (user.Change, error) {
	return user.Change{ClearFailures: true, Audit: []user.Audit{{Action: user.UserUpdated}}}, nil
}

// TestUnlockWaitsForAnAttempt clears the counts of an account while an attempt is being counted. The count of the attempt must not remain.
func TestUnlockWaitsForAnAttempt(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com")
	for range 3 {
		if err := fail(t.Context(), db, u); err != nil {
			t.Fatal(err)
		}
	}
	unlocked := make(chan error, 1)
	attempt := user.Attempt{Email: u.Email, Network: home}
	_, err := db.RecordAttempt(t.Context(), attempt, func(g user.LoginFailures) (user.LoginDecision, error) {
		go func() {
			_, err := db.Unlock(t.Context(), access.Internal(u.ID), clearFailures)
			unlocked <- err
		}()
		testkit.WaitFor(t, "the unlock to wait", func() (waits bool) {
			err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
				WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted)`).Scan(&waits)
			return err == nil && waits
		})
		g.Network.Count++
		g.Total.Count++
		return user.LoginDecision{Failure: &g, Audit: []user.Audit{{Action: user.LoginFailed, UserID: u.ID}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := testkit.Receive(t, "the end of the unlock", unlocked); err != nil {
		t.Fatal(err)
	}
	if g := failuresFor(t, db, u.Email, home.String()); g.Network.Count != 0 || g.Total.Count != 0 {
		t.Errorf("the counts are %+v, want none", g)
	}
	if _, err := db.Unlock(t.Context(), access.Internal(uuid.New()), clearFailures); err == nil {
		t.Error("an unknown account is unlocked, want NotFound")
	}
}
