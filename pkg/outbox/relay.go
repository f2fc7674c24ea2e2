package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

// ErrBusy is what Store.Drain returns while another relay drains the same outbox.
var ErrBusy = errors.New("another relay drains the outbox")

const (
	batchSize = 500
	// publishTime bounds the publishing of one batch. It is less than the time after which
	// PostgreSQL ends a relay's silent transaction.
	publishTime = 10 * time.Second
	// drainTime bounds the whole batch. It leaves time to remove what was confirmed while
	// another event got no answer.
	drainTime = publishTime + 3*time.Second
	// lastBatchTime is what a batch under way gets when the relay is to end.
	lastBatchTime = 2 * time.Second
	// pollInterval is how soon events are found whose wake was lost, with a replica that died.
	pollInterval = time.Second
	// busyInterval is how soon a relay tries again that found another one at work.
	busyInterval = 20 * time.Millisecond
	minBackoff   = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
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
	draining, cancel := beyond(ctx, lastBatchTime)
	defer cancel()
	for {
		drained, err := r.drain(draining)
		if ctx.Err() != nil {
			return nil
		}
		wait, wakeable := r.pause(drained, err)
		if !r.sleep(ctx, wait, wakeable) {
			return nil
		}
	}
}

// beyond returns a context that ends d later than ctx.
func beyond(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}

// Flush drains the outbox until it is empty, an event can't be published, or ctx ends.
// It is for the end of a process; what remains is published by the next one.
func (r *Relay) Flush(ctx context.Context) error {
	for {
		drained, err := r.drain(ctx)
		switch {
		case err != nil:
			return err
		case drained.Removed < drained.Taken:
			return fmt.Errorf("%d of %d events were not published", drained.Taken-drained.Removed, drained.Taken)
		case drained.Taken < batchSize:
			return nil
		}
	}
}

// pause decides how long to wait after a batch, and whether a wake ends the wait. While the
// broker or the database is away a wake does not: each would be one more vain try.
func (r *Relay) pause(drained Drained, err error) (wait time.Duration, wakeable bool) {
	switch {
	case errors.Is(err, ErrBusy):
		return jitter(busyInterval), false
	case err != nil || drained.Removed < drained.Taken:
		r.report(drained, err)
		r.failures++
		return jitter(min(minBackoff<<min(r.failures, 10), maxBackoff)), false
	case drained.Taken == batchSize:
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
	if r.failures == 0 {
		r.log.Warn("events can't be published at this moment; they wait in the outbox",
			"taken", drained.Taken, "published", drained.Removed, "error", err)
	}
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

func (r *Relay) drain(ctx context.Context) (Drained, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	return r.store.Drain(ctx, batchSize, r.publish)
}

// publish sends the events in rounds: each round has the oldest unsent event of each user,
// and none of a user whose last one failed. So a failure in the middle of a round
// can't put a user's later event before an earlier one.
func (r *Relay) publish(ctx context.Context, events []event.Event) []bool {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	confirmed := make([]bool, len(events))
	queues := byUser(events)
	for len(queues) > 0 {
		batch := make([]event.Event, len(queues))
		for i, q := range queues {
			batch[i] = events[q[0]]
		}
		var next [][]int
		for i, err := range r.publisher.Publish(ctx, batch) {
			q := queues[i]
			r.observe(batch[i], err)
			if confirmed[q[0]] = err == nil; err == nil && len(q) > 1 {
				next = append(next, q[1:])
			}
		}
		queues = next
	}
	return confirmed
}

// byUser returns the indexes of each user's events, in their order.
func byUser(events []event.Event) [][]int {
	var queues [][]int
	queueOf := make(map[uuid.UUID]int)
	for i, e := range events {
		n, ok := queueOf[e.Subject]
		if !ok {
			n = len(queues)
			queueOf[e.Subject] = n
			queues = append(queues, nil)
		}
		queues[n] = append(queues[n], i)
	}
	return queues
}

func (r *Relay) observe(e event.Event, err error) {
	if err != nil {
		r.observer.EventFailed(string(e.Type))
		return
	}
	r.observer.EventPublished(string(e.Type), time.Since(e.Time))
}

// jitter spreads the replicas' tries: from half of d to d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // no secret
}
