package password

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
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

// queue lets a bounded amount of work run at once and a bounded number of callers wait. Within a class it serves who
// comes first; waiters says how the classes share it.
type queue struct {
	limits   Limits
	observer Observer
	running  atomic.Int64

	mu      sync.Mutex
	free    int64 // units of Limits.Concurrency
	arrived uint64
	waiters waiters
}

func newQueue(l Limits, o Observer) *queue {
	if o == nil {
		o = unobserved{}
	}
	return &queue{limits: l, observer: o, free: int64(l.Concurrency)}
}

// waiting returns how many callers wait for their turn.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiters.waiting(Login) + len(q.waiters.growing)
}

// turn is the right to hash. Whoever has it ends it; the zero turn has ended.
type turn struct {
	q       *queue
	class   Class
	n       int64
	arrived time.Time
	waited  time.Duration
}

// take waits until so many units are free, at most Limits.Concurrency. Errors: ErrBusy, or
// that of ctx.
func (q *queue) take(ctx context.Context, class Class, n int64) (turn, error) {
	t := turn{q: q, class: class, n: n, arrived: time.Now()}
	if ctx.Err() != nil { // nobody waits for the answer
		return turn{}, gaveUp(ctx)
	}
	w := q.enter(class, n)
	if w == nil {
		q.observer.HashRefused(RefusedQueueFull)
		return turn{}, fmt.Errorf("%w: the queue is full", ErrBusy)
	}
	return t.wait(ctx, w)
}

// grow ends the turn and waits for one with so many units, before all who have not had one. Two that
// held on to theirs could wait for each other.
func (t turn) grow(ctx context.Context, n int64) (turn, error) {
	t.q.mu.Lock()
	t.q.free += t.n
	w := &waiter{class: t.class, n: n, granted: make(chan struct{})}
	t.q.waiters.growing = append(t.q.waiters.growing, w)
	t.q.grant()
	t.q.mu.Unlock()
	t.n = n
	return t.wait(ctx, w)
}

func (t turn) end() {
	if t.q != nil {
		t.q.release(t.n)
	}
}

func (q *queue) release(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n
	q.grant()
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

// run takes so many units, does the work of one hash and ends the turn.
func (q *queue) run(ctx context.Context, class Class, n int64, work func() error) error {
	t, err := q.take(ctx, class, n)
	if err != nil {
		return err
	}
	return t.hash(ctx, work)
}

// enter returns a waiter that has its turn already, or a place; nil if there is no place.
func (q *queue) enter(class Class, n int64) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.arrived++
	w := &waiter{class: class, n: n, number: q.arrived, granted: make(chan struct{})}
	list := &q.waiters.of[class]
	*list = append(*list, w)
	q.grant()
	if isGranted(w) || q.hasPlace(class) {
		return w
	}
	q.waiters.remove(w)
	return nil
}

// hasPlace reports whether the last one of a class that came may wait: no class that its place counts for has
// more waiters than places.
func (q *queue) hasPlace(class Class) bool {
	for c := Login; c <= class; c++ {
		if q.waiters.waiting(c) > c.share(q.limits.Queue) {
			return false
		}
	}
	return true
}

// grant gives the free units to those whose turn it is. One that needs more than are free keeps the others
// waiting, or it might never get them.
func (q *queue) grant() {
	for w := q.waiters.next(); w != nil && w.n <= q.free; w = q.waiters.next() {
		if w.number > 0 { // the hash of one that grows has started already
			q.waiters.started(w.class)
		}
		q.waiters.remove(w)
		q.free -= w.n
		close(w.granted)
	}
}

func isGranted(w *waiter) bool {
	select {
	case <-w.granted:
		return true
	default:
		return false
	}
}

var errWaited = fmt.Errorf("%w: the turn did not come in time", ErrBusy)

// wait returns the turn when the waiter has it, within Limits.MaxWait of its arrival. Errors: ErrBusy, or that of ctx.
func (t turn) wait(ctx context.Context, w *waiter) (turn, error) {
	patience := time.NewTimer(t.q.limits.MaxWait - time.Since(t.arrived))
	defer patience.Stop()
	select {
	case <-w.granted:
	case <-ctx.Done():
		if !t.q.leave(w) {
			t.q.release(w.n)
		}
		return turn{}, gaveUp(ctx)
	case <-patience.C:
		if t.q.leave(w) {
			t.q.observer.HashRefused(RefusedTimeout)
			return turn{}, errWaited
		}
	}
	t.waited = time.Since(t.arrived)
	return t, nil
}

// leave reports whether the waiter gave up before it had its turn.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.waiters.remove(w) {
		return false
	}
	q.grant()
	return true
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
}
