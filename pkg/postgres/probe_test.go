package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestABusyPoolIsNoDatabaseThatIsAway takes all connections: to be asked whether the database answers needs none of them.
func TestABusyPoolIsNoDatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	const most = 3
	db, err := postgres.Open(t.Context(), postgres.Config{URL: postgrestest.URL(t), MaxConns: most}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	release := make(chan struct{})
	var busy, done sync.WaitGroup
	busy.Add(most)
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		u := create(t, db, email)
		done.Go(func() {
			_, err := db.Change(t.Context(), u.ID, func(context.Context, user.Tx, user.User) (user.Change, error) {
				busy.Done()
				<-release
				return user.Change{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		t.Errorf("the database answers, and Ping does not: %v", err)
	}
	required, err := postgres.RequiredSchema()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := db.SchemaVersion(ctx); got != required {
		t.Errorf("the schema is %d (%v), want %d", got, err, required)
	}
	close(release)
	done.Wait()
}
