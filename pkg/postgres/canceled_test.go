package postgres_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// TestCanceledReadsKeepTheirConnections cancels reads at random times, as happens when clients disconnect. The connections must stay
// open, because a new connection costs more than a read. The test allows a few new connections: on a busy machine, some reads take longer
// than cancelGrace.
func TestCanceledReadsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	keepsConnections(t, db, func(ctx context.Context) { _, _ = db.Roles(ctx) })
}

// TestCanceledChangesKeepTheirConnections does the same with changes of an account. A change has several statements, and its client may
// disconnect during each of them.
func TestCanceledChangesKeepTheirConnections(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	u := create(t, db, "ada@example.com")
	keepsConnections(t, db, func(ctx context.Context) {
		_, _ = db.Change(ctx, access.Internal(u.ID), give(func() {}, "user"))
	})
}

// keepsConnections cancels many calls, and counts the new connections.
func keepsConnections(t *testing.T, db *postgres.DB, call func(context.Context)) {
	t.Helper()
	const calls, most = 300, 30
	before := db.Stat().NewConnsCount()
	for range calls {
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(rand.N(5*time.Millisecond), cancel)
		call(ctx)
		cancel()
		end()
	}
	if n := db.Stat().NewConnsCount() - before; n > most {
		t.Errorf("%d canceled calls needed %d new connections, want at most %d", calls, n, most)
	}
}
