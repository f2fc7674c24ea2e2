package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	batchSize = 500
	// retrySize is how many refused events a batch tries beside the others, which wait for them that long: each may
	// cost a new channel.
	retrySize = 20
	// batchBytes bounds the memory of a batch.
	batchBytes = 4 << 20
	// publishTime bounds the publishing of one batch. It is less than the time after which
	// PostgreSQL ends a relay's silent transaction.
	publishTime = 7 * time.Second
	// drainTime bounds the whole batch. It leaves time to wait for locks, and to remove what was confirmed
	// while another event got no answer.
	drainTime = publishTime + 5*time.Second
	// lastBatchTime is what a batch under way gets when the relay is to end.
	lastBatchTime = 2 * time.Second
	// pollInterval is how soon events are found whose wake was lost, with a replica that died.
	pollInterval = time.Second
	// busyInterval is how soon a relay tries again that found another one at work.
	busyInterval = 20 * time.Millisecond
	minBackoff   = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	// remindEvery is how often the log tells that the broker refuses events.
	remindEvery = time.Minute
)

// Relay moves events from the outbox to the broker. Every replica runs one; the store
// lets one at a time drain.
type Relay struct {
	store     Store
	publisher Publisher
	observer  Observer
	log       *slog.Logger
	wake      chan struct{}
	failures  int
	reminded  time.Time
	// unremoved events are published, and their removal has failed. Nothing is published before it has worked.
	unremoved []Waiting
}

// New returns a Relay that does nothing until it is run.
func New(store Store, publisher Publisher, observer Observer, log *slog.Logger) *Relay {
	return &Relay{store: store, publisher: publisher, observer: observer, log: log, wake: make(chan struct{}, 1)}
}

// Wake tells the relay that the outbox has something new. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// Run drains the outbox whenever there is something in it, until ctx ends and the batch
// under way is published: to cut it off would cost the connection, which Flush needs.
func (r *Relay) Run(ctx context.Context) error {
	draining, cancel := withGracePeriod(ctx, lastBatchTime)
	defer cancel()
	for {
		drained, err := r.drain(draining)
		if ctx.Err() != nil {
			return nil
		}
		wait, wakeable := r.nextDelay(drained, err)
		if !r.sleep(ctx, wait, wakeable) {
			return nil
		}
	}
}

// withGracePeriod returns a context that ends d later than ctx.
func withGracePeriod(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}

// Flush drains the outbox until it holds deferred events only, an event can't be published, or ctx ends.
// It is for the end of a process; what remains is published by the next one.
func (r *Relay) Flush(ctx context.Context) error {
	for {
		drained, err := r.drain(ctx)
		switch {
		case err != nil:
			return err
		case drained.unsent() > 0:
			return fmt.Errorf("%d of %d events were not published", drained.unsent(), drained.Taken)
		case !drained.More:
			return nil
		}
	}
}

// nextDelay decides how long to wait after a batch, and whether a wake ends the wait. While the
// broker or the database is away a wake does not: each would be one more vain try.
func (r *Relay) nextDelay(drained Drained, err error) (wait time.Duration, wakeable bool) {
	switch {
	case errors.Is(err, ErrBusy):
		return jitter(busyInterval), false
	case err != nil || drained.unsent() > 0:
		r.report(drained, err)
		r.failures++
		return jitter(min(minBackoff<<min(r.failures, 10), maxBackoff)), false
	case drained.More:
		return 0, false
	}
	if r.failures > 0 {
		r.log.Info("events can be published again")
		r.failures = 0
	}
	return jitter(pollInterval), true
}

// report logs the first of a row of failures, not each.
func (r *Relay) report(drained Drained, err error) {
	if r.failures > 0 {
		return
	}
	log := r.log.With("taken", drained.Taken, "published", drained.Removed)
	if err != nil { // else the publisher has told why
		log = log.With("error", err)
	}
	log.Warn("events can't be published at this moment; they wait in the outbox")
}

// sleep waits, and returns false if ctx ended.
func (r *Relay) sleep(ctx context.Context, wait time.Duration, wakeable bool) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	wake := r.wake
	if !wakeable {
		wake = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return true
}

// drain publishes one batch.
func (r *Relay) drain(ctx context.Context) (Drained, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if len(r.unremoved) > 0 {
		if err := r.store.Remove(ctx, r.unremoved); err != nil {
			return Drained{}, err
		}
		r.unremoved = nil
	}
	var confirmed []Waiting
	limits := Limits{Events: batchSize, Retries: retrySize, Bytes: batchBytes}
	drained, err := r.store.Drain(ctx, limits, func(ctx context.Context, waiting []Waiting) []Outcome {
		var outcomes []Outcome
		outcomes, confirmed = r.publish(ctx, waiting)
		return outcomes
	})
	if err != nil {
		r.unremoved = confirmed
	}
	return drained, err
}

// jitter spreads the replicas' tries: from half of d to d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // no secret
}
