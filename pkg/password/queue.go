package password

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrBusy means that too many hashes wait already, or that this one waited too long:
// the same call may succeed a moment later.
var ErrBusy = errors.New("too many passwords are being hashed")

// Limits bound what hashing may cost: memory by Concurrency, waiting by Queue and MaxWait.
type Limits struct {
	Concurrency int           // hashes that run at once, at least 1
	Queue       int           // hashes that wait for their turn, 0 for none
	MaxWait     time.Duration // how long one waits at most, more than 0
}

func (l Limits) check() error {
	if l.Concurrency < 1 || l.Queue < 0 || l.MaxWait <= 0 {
		return errors.New("hashing needs a concurrency of at least 1, a queue of at least 0 and a time to wait")
	}
	return nil
}

// The reasons for which an Observer is told of a refusal.
const (
	RefusedQueueFull = "queue_full" // Limits.Queue others wait already
	RefusedTimeout   = "timeout"    // its turn did not come within Limits.MaxWait
	RefusedProcess   = "process"    // the process that hashes has ended, or could not be started
)

// Observer is told what a Hasher does. Its methods are called by many goroutines at once
// and must not block.
type Observer interface {
	// HashDone is told, of each hash that was computed, how long it waited for its turn
	// and how long the work took.
	HashDone(waited, ran time.Duration)
	// HashRefused is told why a hash was not computed. A caller who gave up is not
	// refused.
	HashRefused(reason string)
}

type unobserved struct{}

func (unobserved) HashDone(time.Duration, time.Duration) {}
func (unobserved) HashRefused(string)                    {}

// queue lets a bounded amount of work run at once and a bounded number of callers wait,
// first come, first served.
type queue struct {
	limits   Limits
	observer Observer
	turns    *semaphore.Weighted
	places   chan struct{} // holds one element for each caller who waits
	running  atomic.Int64
}

func newQueue(l Limits, o Observer) *queue {
	if o == nil {
		o = unobserved{}
	}
	return &queue{
		limits: l, observer: o,
		turns:  semaphore.NewWeighted(int64(l.Concurrency)),
		places: make(chan struct{}, l.Queue),
	}
}

// turn is the right to hash. Whoever has it ends it; the zero turn has ended.
type turn struct {
	q      *queue
	n      int64
	waited time.Duration
}

// take waits until so many turns are free, at most Limits.Concurrency. Errors: ErrBusy, or
// that of ctx.
func (q *queue) take(ctx context.Context, n int64) (turn, error) {
	arrived := time.Now()
	if err := q.enter(ctx, n); err != nil {
		return turn{}, err
	}
	return turn{q: q, n: n, waited: time.Since(arrived)}, nil
}

func (t turn) end() {
	if t.q != nil {
		t.q.turns.Release(t.n)
	}
}

// hash does the work of one hash, and ends the turn.
//
// The turn ends with the work, not with the patience of the caller, who gets the error of ctx if that ends before.
func (t turn) hash(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() {
		t.q.running.Add(1)
		started := time.Now()
		err := work()
		if err == nil {
			t.q.observer.HashDone(t.waited, time.Since(started))
		} else {
			t.q.observer.HashRefused(RefusedProcess)
		}
		t.q.running.Add(-1)
		t.end()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for a hash: %w", ctx.Err())
	}
}

// run takes so many turns, does the work of one hash and ends them.
func (q *queue) run(ctx context.Context, n int64, work func() error) error {
	t, err := q.take(ctx, n)
	if err != nil {
		return err
	}
	return t.hash(ctx, work)
}

func (q *queue) enter(ctx context.Context, turns int64) error {
	if ctx.Err() != nil { // nobody waits for the answer
		return gaveUp(ctx)
	}
	if q.turns.TryAcquire(turns) {
		return nil
	}
	select {
	case q.places <- struct{}{}:
		defer func() { <-q.places }()
		return q.wait(ctx, turns)
	default:
		q.observer.HashRefused(RefusedQueueFull)
		return fmt.Errorf("%w: the queue is full", ErrBusy)
	}
}

var errWaited = fmt.Errorf("%w: the turn did not come in time", ErrBusy)

func (q *queue) wait(ctx context.Context, turns int64) error {
	limited, cancel := context.WithTimeoutCause(ctx, q.limits.MaxWait, errWaited)
	defer cancel()
	if q.turns.Acquire(limited, turns) == nil {
		return nil
	}
	if context.Cause(limited) == errWaited { //nolint:errorlint // this very one, not one that the caller's context brought
		q.observer.HashRefused(RefusedTimeout)
		return errWaited
	}
	return gaveUp(ctx)
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
}
