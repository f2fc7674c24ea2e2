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

// Limits of reset requests. Only a request for an existing account causes work after the response. This work has separate limits, so that
// it does not delay other responses. Otherwise, the response times of many concurrent requests would reveal which of the emails have an
// account.
const (
	// resetTime is the minimum duration of a response, and also the delay between the response and the work after it.
	resetTime = 100 * time.Millisecond
	// resetLookups is the maximum number of concurrent lookups of emails, before the response.
	resetLookups = 4
	// resetWait is the maximum time of a lookup, including the time for which the lookup waits.
	resetWait = time.Second
	// resetBacklog is the maximum number of accounts that wait for the work after the response. The work for further accounts is
	// dropped.
	resetBacklog = 1024
	// resetSenders is the maximum number of accounts whose work runs concurrently.
	resetSenders = 4
	// resetTimeout is the maximum time of the work after the response, including the time for which the work waits.
	resetTimeout = 10 * time.Second
	// resetWork is the maximum time of the work alone. A locked row delays other accounts by at most this time.
	resetWork = 2 * time.Second
)

var errBacklogFull = errors.New("too many resets are waiting")

// resetQueue limits the work of reset requests before and after their responses.
type resetQueue struct {
	lookups singleflight.Group // the key is the email: concurrent requests for one email share a lookup
	looking *semaphore.Weighted

	pending sync.Map // the ids of the accounts in the backlog; further requests for these accounts are dropped
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

// find returns the result of lookup for an email. Its limits and its work are the same for every email.
//
// Errors: Overloaded, the errors of lookup, and the error of ctx.
func (r *resetQueue) find(ctx context.Context, email string, lookup func(context.Context) (uuid.UUID, error)) (uuid.UUID, error) {
	shared := context.WithoutCancel(ctx) // other requests may share the lookup
	found := r.lookups.DoChan(EmailKey(email), func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, resetWait)
		defer cancel()
		if err := r.looking.Acquire(ctx, 1); err != nil {
			return uuid.Nil, &Error{
				Code: Overloaded, Detail: "Too many resets are requested at this moment; try again shortly.",
				RetryAfter: time.Second, Err: err,
			}
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

// enqueue runs work for an account after the response. It does not block. If work for the account already waits or runs, enqueue does
// nothing. If the work is dropped or fails, it calls failed with the reason.
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

// send runs the work of one account. It starts after a delay of resetTime, so that it does not delay the responses of concurrent
// requests.
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

// finish waits until the backlog is empty. Errors: the error of ctx.
func (r *resetQueue) finish(ctx context.Context) error {
	if err := r.backlog.Acquire(ctx, resetBacklog); err != nil {
		return err
	}
	r.backlog.Release(resetBacklog)
	return nil
}
