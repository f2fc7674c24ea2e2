package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

const (
	// replayBatch is the number of users that one transaction locks and reads.
	replayBatch = 100
	// replayBacklog is the number of unpublished events at which a replay starts to wait. It is small, because events of changes queue
	// behind these events.
	replayBacklog = 1000
	// replayPoll is the interval at which a waiting replay checks the backlog.
	replayPoll = 100 * time.Millisecond
)

// Replay selects the users of a replay. The zero value selects all users and has no rate limit.
type Replay struct {
	After uuid.UUID // Only users with a higher id, to resume a replay.
	Since time.Time // Only users that were changed at this time or later.
	User  uuid.UUID // Only this user.
	Rate  int       // The maximum number of users a second. 0: no limit.
	// Progress is called after each batch, and when the replay starts to wait. It may be nil.
	Progress func(ReplayProgress)
}

// ReplayProgress is the progress of a replay.
type ReplayProgress struct {
	Total     int       // The number of users to read, counted at the start.
	Seen      int       // The number of users that were read.
	Announced int       // The number of users for which an event was stored.
	Last      uuid.UUID // The last user that was read.
	Waiting   bool      // The replay waits for the relay.
}

// AnnounceRequest selects the users of one call of Store.AnnounceUsers.
type AnnounceRequest struct {
	After uuid.UUID
	Since time.Time
	User  uuid.UUID
	Limit int
}

// AnnounceResult is the result of one call of Store.AnnounceUsers.
type AnnounceResult struct {
	Seen, Users int
	Last        uuid.UUID
}

// Replay puts an event with a snapshot of each selected user into the outbox, sorted by id, for a new consumer. It waits while many
// events are unpublished, so that it does not delay the events of changes.
//
// Errors: NotFound for an unknown User; Unavailable. The progress has the id from which to resume.
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

// awaitRelay waits until fewer than replayBacklog events are unpublished.
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
