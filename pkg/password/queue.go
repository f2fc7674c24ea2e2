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
	Queue       int           // hashes that wait for a slot, 0 for none
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
	RefusedTimeout   = "timeout"    // no slot was free within Limits.MaxWait
	RefusedProcess   = "process"    // the process that hashes has ended
	RefusedStart     = "start"      // no process that hashes can be started
)

// Observer is told what a Hasher does. Its methods are called by many goroutines at once
// and must not block.
type Observer interface {
	// HashDone is told, of each hash that was computed, how long it waited for its slot
	// and how long the work took.
	HashDone(waited, ran time.Duration)
	// HashRefused is told why a hash was not computed. A caller who gave up is not
	// refused.
	HashRefused(reason string)
}

type noopObserver struct{}

func (noopObserver) HashDone(time.Duration, time.Duration) {}
func (noopObserver) HashRefused(string)                    {}

// queue lets a bounded amount of work run at once and a bounded number of callers wait; waiters says in which order they are
// served.
type queue struct {
	limits   Limits
	observer Observer
	running  atomic.Int64

	mu      sync.Mutex
	slots   int   // that are free, of Limits.Concurrency
	total   int64 // memory, in any unit
	memory  int64 // that is free
	reauths int   // reauthentications that have a slot
	costly  int   // costly hashes that have a slot
	waiters waiters
}

// newQueue returns a queue for hashes that need so much memory at once, in any unit.
func newQueue(l Limits, memory int64, o Observer) *queue {
	if o == nil {
		o = noopObserver{}
	}
	return &queue{limits: l, observer: o, slots: l.Concurrency, total: memory, memory: memory}
}

// waiting returns how many callers wait for a slot.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiters.all()
}

// slot is the right to compute one hash. Whoever has it ends it; the zero slot has ended.
type slot struct {
	q       *queue
	flow    Flow
	memory  int64
	costly  bool
	arrived time.Time
	waited  time.Duration
}

// take waits for a slot and for memory. Errors: ErrBusy, or that of ctx.
func (q *queue) take(ctx context.Context, flow Flow, memory int64) (slot, error) {
	s := slot{q: q, flow: flow, memory: memory, arrived: time.Now()}
	if ctx.Err() != nil { // nobody waits for the answer
		return slot{}, gaveUp(ctx)
	}
	return s.wait(ctx, q.enter(&waiter{flow: flow, memory: memory, granted: make(chan struct{})}))
}

// exchange ends the slot, and waits for one for a costly hash with so much memory.
func (s slot) exchange(ctx context.Context, memory int64) (slot, error) {
	s.q.mu.Lock()
	s.q.free(s)
	s.q.waiters.cheap-- // for this one it was counted
	w := &waiter{flow: s.flow, memory: memory, costly: true, granted: make(chan struct{})}
	s.q.waiters.addCostly(w)
	s.q.grant()
	if len(s.q.waiters.costly) > s.q.limits.Queue && !isGranted(w) {
		s.q.refuse(longest(w, s.q.waiters.costly))
	}
	s.q.mu.Unlock()
	s.memory, s.costly = memory, true
	return s.wait(ctx, w)
}

func (s slot) end() {
	if s.q == nil {
		return
	}
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	s.q.free(s)
	s.q.grant()
}

func (q *queue) free(s slot) {
	q.slots++
	q.waiters.ended(s.flow.Source)
	q.memory += s.memory
	if s.flow.Class == Reauthentication {
		q.reauths--
	}
	if s.costly {
		q.costly--
	}
}

// hash does the work of one hash, and ends the slot.
//
// The slot ends with the work, not with the patience of the caller, who gets the error of ctx if that ends before.
func (s slot) hash(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() {
		s.q.running.Add(1)
		started := time.Now()
		err := work()
		if err == nil {
			s.q.observer.HashDone(s.waited, time.Since(started))
		} else {
			s.q.observer.HashRefused(refusal(err))
		}
		s.q.running.Add(-1)
		s.end()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for a hash: %w", ctx.Err())
	}
}

// refusal returns the reason of an error of the work.
func refusal(err error) string {
	if errors.As(err, new(*StartError)) {
		return RefusedStart
	}
	return RefusedProcess
}

// run takes a slot, does the work of one hash and ends the slot.
func (q *queue) run(ctx context.Context, flow Flow, memory int64, work func() error) error {
	s, err := q.take(ctx, flow, memory)
	if err != nil {
		return err
	}
	return s.hash(ctx, work)
}

// enter has a waiter wait if it must. Past the bound of the queue, the last waiter of the flow that has the most is refused: it
// may be this one.
func (q *queue) enter(w *waiter) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.flow.Second {
		q.waiters.second = append(q.waiters.second, w)
		q.grant()
		return w
	}
	q.waiters.add(w)
	q.grant()
	if isGranted(w) {
		return w
	}
	for class := Login; class <= w.flow.Class; class++ {
		if q.waiters.waiting(class) > class.share(q.limits.Queue) {
			q.refuse(longest(w, q.waiters.of[class:]...))
			q.grant()
			break
		}
	}
	return w
}

// refuse takes the place of a waiter.
func (q *queue) refuse(w *waiter) {
	q.waiters.remove(w)
	w.refused = true
	close(w.granted)
}

// grant gives what is free to those who are next. Where there are two slots or more, one of them is not for reauthentications, one
// is not for costly hashes, and one is not for a source that has all others.
func (q *queue) grant() {
	most := max(1, q.limits.Concurrency-1)
	for q.slots > 0 {
		w, memory := q.waiters.next(q.reauths < most, most), q.memory
		if costly := q.waiters.nextCostly(); costly != nil && q.costly < most && !q.yields(costly, w) {
			switch {
			case costly.memory <= q.memory:
				w = costly
			case q.costly == 0: // else it gets the memory of one that runs
				memory -= costly.memory
			}
		}
		if w == nil || w.memory > memory {
			return
		}
		q.start(w)
	}
}

// yields reports whether a costly hash lets another one start before it: one that leaves nothing to others, neither a slot
// nor memory, starts after as many others as there are slots, if so many wait.
func (q *queue) yields(costly, other *waiter) bool {
	return other != nil && (q.limits.Concurrency == 1 || costly.memory+other.memory > q.total) && q.waiters.cheap < q.limits.Concurrency
}

// start gives a waiter its slot.
func (q *queue) start(w *waiter) {
	q.waiters.remove(w)
	q.waiters.started(w)
	q.slots--
	q.memory -= w.memory
	if w.costly {
		q.costly++
	}
	if w.flow.Class == Reauthentication {
		q.reauths++
	}
	close(w.granted)
}

func isGranted(w *waiter) bool {
	select {
	case <-w.granted:
		return true
	default:
		return false
	}
}

var (
	errWaited = fmt.Errorf("%w: no slot was free in time", ErrBusy)
	errFull   = fmt.Errorf("%w: the queue is full", ErrBusy)
)

// wait returns the slot when the waiter has it, within Limits.MaxWait of its arrival. Errors: ErrBusy, or that of ctx.
func (s slot) wait(ctx context.Context, w *waiter) (slot, error) {
	patience := time.NewTimer(s.q.limits.MaxWait - time.Since(s.arrived))
	defer patience.Stop()
	select {
	case <-w.granted:
	case <-ctx.Done():
		if !s.q.leave(w) && !w.refused {
			s.end()
		}
		return slot{}, gaveUp(ctx)
	case <-patience.C:
		if s.q.leave(w) {
			s.q.observer.HashRefused(RefusedTimeout)
			return slot{}, errWaited
		}
	}
	if w.refused {
		s.q.observer.HashRefused(RefusedQueueFull)
		return slot{}, errFull
	}
	s.waited = time.Since(s.arrived)
	return s, nil
}

// leave reports whether the waiter gave up before it had its slot or was refused.
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
	return fmt.Errorf("wait for a slot to hash: %w", ctx.Err())
}
