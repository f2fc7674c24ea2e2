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
	// retrySize is the maximum number of deferred events in a batch. It is small, because each event that is refused again may need a new
	// channel, which delays the batch.
	retrySize = 20
	// batchBytes is the maximum size of the data in a batch.
	batchBytes = 4 << 20
	// publishTime is the maximum time for publishing one batch. It is less than the time after which PostgreSQL ends an idle transaction
	// of a relay.
	publishTime = 7 * time.Second
	// drainTime is the maximum time for the whole batch. It leaves time to wait for locks. It also leaves time to remove the confirmed
	// events after other events got no confirm within publishTime.
	drainTime = publishTime + 5*time.Second
	// lastBatchTime is the time that a running batch still gets after the context of Run has ended.
	lastBatchTime = 2 * time.Second
	// pollInterval is the maximum delay of an event for which Wake was not called, for example because the replica that stored the event
	// has crashed.
	pollInterval = time.Second
	// busyInterval is the delay after ErrBusy.
	busyInterval = 20 * time.Millisecond
	minBackoff   = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	// warnInterval is the minimum time between two warnings about refused events.
	warnInterval = time.Minute
)

// Config configures a Relay.
type Config struct {
	Log      *slog.Logger // nil: none
	Observer Observer     // nil: none
}

// Relay moves events from the outbox to the broker. Every replica runs a Relay; the store allows only one at a time to drain.
type Relay struct {
	store       Store
	publisher   Publisher
	observer    Observer
	log         *slog.Logger
	wake        chan struct{}
	failures    int // consecutive failed batches
	lastWarning time.Time
	// unremoved are events that were published but could not be removed. The relay publishes nothing else until they are removed.
	unremoved []Waiting
}

// New returns a Relay that is not running.
func New(store Store, publisher Publisher, cfg Config) *Relay {
	r := &Relay{store: store, publisher: publisher, observer: cfg.Observer, log: cfg.Log, wake: make(chan struct{}, 1)}
	if r.observer == nil {
		r.observer = noopObserver{}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Wake makes the relay look for new events immediately. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // a wake is pending
	}
}

// Run drains the outbox until ctx ends. It then finishes the running batch, because aborting the batch would close the connection that
// Flush needs.
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

// withGracePeriod returns a context that ends d after ctx ends.
func withGracePeriod(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}

// Flush drains the outbox until only deferred events remain. It is called at the end of a process. Errors: the error of a batch, the
// error of ctx. After an error, the next process publishes the remaining events.
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

// nextDelay returns the delay after a batch, and whether Wake ends this delay early. While the broker or the database is unavailable,
// Wake does not end it, because each attempt would fail.
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

// report logs the first of several consecutive failures.
func (r *Relay) report(drained Drained, err error) {
	if r.failures > 0 {
		return
	}
	log := r.log.With("taken", drained.Taken, "published", drained.Removed)
	if err != nil { // otherwise the publisher has logged the reason
		log = log.With("error", err)
	}
	log.Warn("events can't be published now; they wait in the outbox")
}

// sleep waits, and returns false if ctx has ended.
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

// jitter returns a random duration between d/2 and d, so that the replicas do not retry at the same time.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // no secret
}
