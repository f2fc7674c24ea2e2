package postgres_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

// TestCanceledReadsKeepTheirConnections cancels reads at random times, as happens when clients disconnect. The connections must stay
// open, because a new connection costs more than a read. The test allows a few new connections: on a busy machine, some reads take longer
// than cancelGrace.
func TestCanceledReadsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	const reads, most = 300, 30
	before := db.Stat().NewConnsCount()
	for range reads {
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(rand.N(5*time.Millisecond), cancel)
		_, _ = db.Roles(ctx)
		cancel()
		end()
	}
	if n := db.Stat().NewConnsCount() - before; n > most {
		t.Errorf("%d canceled reads needed %d new connections, want at most %d", reads, n, most)
	}
}
