package postgres_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// queries is an observer that counts queries for each operation and failure.
type queries struct {
	mu   sync.Mutex
	seen map[string]int
}

func (q *queries) QueryDone(_ context.Context, operation string, took time.Duration, failure string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if took > 0 {
		q.seen[operation+failure]++
	}
}

func observed(t *testing.T, dsn string) (*postgres.DB, *queries) {
	t.Helper()
	seen := &queries{seen: map[string]int{}}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: dsn, MaxConns: 1, Observer: seen}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	return db, seen
}

func TestQueriesAreObserved(t *testing.T) {
	t.Parallel()
	db, seen := observed(t, postgrestest.URL(t))
	if err := db.EndSession(t.Context(), access.Internal(create(t, db, "a@example.com").ID), uuid.New()); err == nil {
		t.Error("EndSession succeeds for an unknown session, want an error")
	}
	if _, err := db.Credential(t.Context(), "nobody@example.com"); err != nil {
		t.Error(err)
	}
	for _, operation := range []string{"BEGIN", "DELETE", "ROLLBACK", "SELECT"} {
		if seen.seen[operation] == 0 {
			t.Errorf("no %s was observed, only %v", operation, seen.seen)
		}
	}
}

func TestFailuresOfQueriesAreObserved(t *testing.T) {
	t.Parallel()
	db, seen := observed(t, postgrestest.Empty(t))
	if _, err := db.Credential(t.Context(), "nobody@example.com"); err == nil {
		t.Error("Credential succeeds without a schema, want an error")
	}
	if seen.seen["SELECT42"] != 1 {
		t.Errorf("%v was observed, want one SELECT with a failure of class 42", seen.seen)
	}
}

// TestTheAgeOfKeysIsRemembered passes a key id to KeysSince on two replicas. Both must return the time at which the first replica passed
// it.
func TestTheAgeOfKeysIsRemembered(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	before := time.Now().Add(-time.Minute)
	first, err := postgrestest.Connect(t, dsn, nil).KeysSince(t.Context(), []string{"one"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := postgrestest.Connect(t, dsn, nil).KeysSince(t.Context(), []string{"one", "two"})
	if err != nil {
		t.Fatal(err)
	}
	if !second["one"].Equal(first["one"]) || !second["two"].After(first["one"]) || first["one"].Before(before) {
		t.Errorf("the first replica returns %v and the second one %v, want the same time for key one and a later one for key two", first,
			second)
	}
	if keys := slices.Sorted(maps.Keys(second)); !slices.Equal(keys, []string{"one", "two"}) {
		t.Errorf("the keys are %v, want one and two", keys)
	}
}
