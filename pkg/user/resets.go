package user

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Limits of requests for a reset. Only an account needs work after the answer, so that work has limits of its own:
// it must never hold up an answer, or bursts of requests tell which emails have an account.
const (
	resetTime    = 100 * time.Millisecond // the least time of an answer, and between an answer and the work after it
	resetLookups = 4                      // emails that are looked up concurrently, before the answer
	resetWait    = time.Second            // for a lookup, the wait for others included
	resetBacklog = 1024                   // accounts that wait for the work after the answer; further ones are dropped
	resetSenders = 4                      // accounts whose work is done concurrently
	resetTimeout = 10 * time.Second       // for the work after the answer, the wait for others included
	resetWork    = 2 * time.Second        // for the work alone: a locked row must not hold up the others for longer
)

var errBacklogFull = errors.New("too many resets wait already")

// resetQueue bounds what requests for a reset cost, before and after their answer.
type resetQueue struct {
	lookups singleflight.Group // by email: concurrent requests for one email share a lookup
	looking *semaphore.Weighted

	pending sync.Map // ids of the accounts in the backlog: a second request for one of them adds nothing
	backlog *semaphore.Weighted
	sending *semaphore.Weighted
}

func newResetQueue() *resetQueue {
	return &resetQueue{
		looking: semaphore.NewWeighted(resetLookups),
		backlog: semaphore.NewWeighted(resetBacklog),
		sending: semaphore.NewWeighted(resetSenders),
	}
}

// find returns what lookup finds for an email. Its limit and its work are the same for every email.
//
// Errors: Overloaded, those of lookup, and that of ctx.
func (r *resetQueue) find(ctx context.Context, email string, lookup func(context.Context) (uuid.UUID, error)) (uuid.UUID, error) {
	shared := context.WithoutCancel(ctx) // others may wait for the same lookup
	found := r.lookups.DoChan(EmailKey(email), func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, resetWait)
		defer cancel()
		if err := r.looking.Acquire(ctx, 1); err != nil {
			return uuid.Nil, &Error{Code: Overloaded, Detail: "Too many resets are requested at this moment; try again shortly.", RetryAfter: time.Second, Err: err}
		}
		defer r.looking.Release(1)
		return lookup(ctx)
	})
	select {
	case result := <-found:
		id, _ := result.Val.(uuid.UUID)
		return id, result.Err
	case <-ctx.Done():
		return uuid.Nil, ctx.Err()
	}
}

// enqueue does the work of an account after the answer, once for all requests while it waits or runs. It never
// waits. It reports to failed why the work was not done.
func (r *resetQueue) enqueue(ctx context.Context, id uuid.UUID, work func(context.Context) error, failed func(error)) {
	if _, waits := r.pending.LoadOrStore(id, nil); waits {
		return
	}
	if !r.backlog.TryAcquire(1) {
		r.pending.Delete(id)
		failed(errBacklogFull)
		return
	}
	go func() {
		defer r.backlog.Release(1)
		defer r.pending.Delete(id)
		if err := r.send(context.WithoutCancel(ctx), work); err != nil {
			failed(err)
		}
	}()
}

// send does the work of one account. It begins when the other answers of a burst are out, so that it does not slow them.
func (r *resetQueue) send(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	<-time.After(resetTime)
	if err := r.sending.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.sending.Release(1)
	ctx, cancel = context.WithTimeout(ctx, resetWork)
	defer cancel()
	return work(ctx)
}

// finish waits until the backlog is empty. Error: that of ctx.
func (r *resetQueue) finish(ctx context.Context) error {
	if err := r.backlog.Acquire(ctx, resetBacklog); err != nil {
		return err
	}
	r.backlog.Release(resetBacklog)
	return nil
}
