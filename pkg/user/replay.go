package user

import (
	"context"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

// replayBatch is how many users are announced in one transaction, which locks them against changes.
const replayBatch = 500

// Replay puts a snapshot of every user into the outbox, by which a new consumer catches up. It
// calls progress after each batch with how many there are so far.
//
// Errors: Unavailable; what was announced by then stays announced.
func (s *Service) Replay(ctx context.Context, progress func(users int)) error {
	var last uuid.UUID
	for total := 0; ; {
		users, err := s.store.Announce(ctx, last, replayBatch, func(u User) (event.Event, error) {
			return event.New(event.Snapshot, u.ID, u.Version, s.now(), event.Created{User: u})
		})
		if err != nil {
			return err
		}
		total += len(users)
		progress(total)
		if len(users) < replayBatch {
			return nil
		}
		last = users[len(users)-1].ID
	}
}
