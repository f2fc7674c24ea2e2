package postgres_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres/postgrestest"
)

// TestCanceledReadsKeepTheirConnections cancels reads at random times, as clients do that disconnect. A closed connection would cost more
// than the read.
func TestCanceledReadsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	sessions := func() []int {
		t.Helper()
		rows, err := conn.Query(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid`)
		if err != nil {
			t.Fatal(err)
		}
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	if _, err := db.Roles(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := sessions()
	for range 300 {
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(rand.N(time.Millisecond), cancel)
		_, _ = db.Roles(ctx)
		cancel()
		end()
	}
	if after := sessions(); !slices.Equal(before, after) {
		t.Errorf("the sessions of the pool are %v, want those before, %v", after, before)
	}
}
