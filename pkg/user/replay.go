package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

const (
	// replayBatch is how many users are looked at in one transaction, which locks them against changes.
	replayBatch = 100
	// replayBacklog is how many events may wait to be published before a replay waits: the events of
	// changes made meanwhile are behind those.
	replayBacklog = 1000
	// replayPoll is how often a replay that waits looks again.
	replayPoll = 100 * time.Millisecond
)

// Replay says which users are announced again. The zero value is all users, as fast as their events are published.
type Replay struct {
	After    uuid.UUID            // only users with an id above this one: where an earlier replay has ended
	Since    time.Time            // only users that have changed since then
	User     uuid.UUID            // only this user
	Rate     int                  // users a second at most; 0: no limit
	Progress func(ReplayProgress) // called after each batch, and when the replay begins to wait; may be nil
}

// ReplayProgress is how far a replay is.
type ReplayProgress struct {
	Total     int       // users to look at, as counted at the beginning
	Seen      int       // users that were looked at
	Announced int       // of these, users that are announced
	Last      uuid.UUID // the last user that was looked at
	Waiting   bool      // for the relay, as many events wait to be published
}

// AnnounceRequest chooses the users of one call of Store.Announce.
type AnnounceRequest struct {
	After uuid.UUID
	Since time.Time
	User  uuid.UUID
	Limit int
}

// AnnounceResult is what a call of Store.Announce did.
type AnnounceResult struct {
	Seen, Users int
	Last        uuid.UUID
}

// Replay puts snapshots of users into the outbox, by which a new consumer catches up, sorted by id. It waits while
// many events wait to be published, so that those of changes go on beside it.
//
// Errors: NotFound for a User that is not there; Unavailable. The progress tells where to continue.
func (s *Service) Replay(ctx context.Context, r Replay) (p ReplayProgress, err error) {
	if r.User != uuid.Nil {
		return s.replayUser(ctx, r)
	}
	if p.Total, err = s.store.CountUsers(ctx, r.After); err != nil {
		return p, err
	}
	for p.Last = r.After; ; {
		began := time.Now()
		if err := s.awaitRelay(ctx, &r, p); err != nil {
			return p, err
		}
		done, err := s.announcePage(ctx, AnnounceRequest{After: p.Last, Since: r.Since, Limit: replayBatch})
		if err != nil {
			return p, err
		}
		if p.Seen, p.Announced = p.Seen+done.Seen, p.Announced+done.Users; done.Seen > 0 {
			p.Last = done.Last
		}
		r.report(p)
		if done.Seen < replayBatch {
			return p, nil
		}
		if r.Rate > 0 {
			if err := sleep(ctx, time.Duration(done.Users)*time.Second/time.Duration(r.Rate)-time.Since(began)); err != nil {
				return p, err
			}
		}
	}
}

func (s *Service) replayUser(ctx context.Context, r Replay) (ReplayProgress, error) {
	done, err := s.announcePage(ctx, AnnounceRequest{User: r.User, Since: r.Since, Limit: 1})
	if err == nil && done.Seen == 0 {
		err = &Error{Code: NotFound, Detail: "There is no such user."}
	}
	return ReplayProgress{Total: 1, Seen: done.Seen, Announced: done.Users, Last: r.User}, err
}

func (s *Service) announcePage(ctx context.Context, a AnnounceRequest) (AnnounceResult, error) {
	return s.store.AnnounceUsers(ctx, a, func(u User) (event.Event, error) {
		return event.New(event.Snapshot, u.ID, u.Version, s.now(), event.Created{User: u})
	})
}

// awaitRelay waits until few events wait to be published.
func (s *Service) awaitRelay(ctx context.Context, r *Replay, p ReplayProgress) error {
	for {
		waiting, err := s.store.ReadyEvents(ctx, replayBacklog)
		if err != nil || waiting < replayBacklog {
			return err
		}
		if !p.Waiting {
			p.Waiting = true
			r.report(p)
		}
		if err := sleep(ctx, replayPoll); err != nil {
			return err
		}
	}
}

func (r *Replay) report(p ReplayProgress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

// sleep waits for d, and returns an error if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
