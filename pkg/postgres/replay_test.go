package postgres_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestSnapshotsAreInOrderWithChanges stores snapshots of users while the users change. Each snapshot must have the version of the event
// before it.
func TestSnapshotsAreInOrderWithChanges(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	users := []user.User{create(t, db, "a@example.com"), create(t, db, "b@example.com"), create(t, db, "c@example.com")}
	drain(t, db)
	var wg sync.WaitGroup
	for _, u := range users {
		wg.Go(func() {
			for range 30 {
				if err := rename(t.Context(), db, u.ID, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		done, err := db.AnnounceUsers(t.Context(), user.AnnounceRequest{Limit: 10}, func(u user.User) (event.Event, error) {
			return event.New(event.Snapshot, u.ID, u.Version, u.UpdatedAt, event.Created{User: u})
		})
		if err != nil || done.Seen != 3 || done.Users != 3 {
			t.Fatalf("AnnounceUsers returns %+v (%v), want 3 users", done, err)
		}
	}
	wg.Wait()
	versions := map[uuid.UUID]int64{}
	for _, u := range users {
		versions[u.ID] = 1
	}
	for _, e := range drain(t, db) {
		want := versions[e.Subject]
		if e.Type == event.UserUpdated {
			want++
		}
		if e.UserVersion != want {
			t.Fatalf("%s has version %d after version %d, want %d", e.Type, e.UserVersion, versions[e.Subject], want)
		}
		versions[e.Subject] = want
	}
}
