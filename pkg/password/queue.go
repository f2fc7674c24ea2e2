package password

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy means that the queue is full, or that no slot was free in time. The same call may succeed a moment later.
var ErrBusy = errors.New("too many passwords are being hashed")

// Limits limit the resources for hashing: Concurrency limits the memory, Queue and MaxWait limit the waiting.
type Limits struct {
	Concurrency int           // The number of hashes that run concurrently, at least 1.
	Queue       int           // The number of hashes that wait for a slot. 0: none.
	MaxWait     time.Duration // The maximum wait for a slot, more than 0.
}

func (l Limits) check() error {
	if l.Concurrency < 1 || l.Queue < 0 || l.MaxWait <= 0 {
		return errors.New("hashing needs a concurrency of at least 1, a queue of at least 0 and a positive wait")
	}
	return nil
}

// The reasons for which a hash is refused.
const (
	RefusedQueueFull = "queue_full" // Limits.Queue hashes are waiting
	RefusedTimeout   = "timeout"    // no slot was free within Limits.MaxWait
	RefusedProcess   = "process"    // the hashing process has exited
	RefusedStart     = "start"      // the hashing process can't be started
)

// Observer receives the measurements of a Hasher. Its methods are called concurrently and must not block.
type Observer interface {
	// HashDone is called for each computed hash, with the time that it waited for a slot and the time of the computation.
	HashDone(waited, ran time.Duration)
	// HashRefused is called with the reason when a hash is refused. It is not called when the caller's context was canceled.
	HashRefused(reason string)
}

type noopObserver struct{}

func (noopObserver) HashDone(time.Duration, time.Duration) {}
func (noopObserver) HashRefused(string)                    {}

// queue limits how many hashes run concurrently and how many callers wait. waiters determines the order in which callers get slots.
type queue struct {
	limits   Limits
	observer Observer
	running  atomic.Int64

	mu      sync.Mutex
	slots   int   // The number of free slots. Limits.Concurrency in total.
	total   int64 // The total memory, in any unit.
	memory  int64 // The free memory.
	reauths int   // The number of reauthentications that have a slot.
	costly  int   // The number of costly hashes that have a slot.
	waiters waiters
}

// newQueue returns a queue for hashes that use at most this memory together, in any unit.
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
	return q.waiters.count()
}

// slot is the right to compute one hash. The holder must call release, exchange or compute. Releasing the zero slot does nothing.
type slot struct {
	q       *queue
	flow    Flow
	memory  int64
	costly  bool
	arrived time.Time
	waited  time.Duration
}

// acquire waits for a slot and memory. Errors: ErrBusy, or the error of ctx.
func (q *queue) acquire(ctx context.Context, flow Flow, memory int64) (slot, error) {
	s := slot{q: q, flow: flow, memory: memory, arrived: time.Now()}
	if ctx.Err() != nil { // the caller has already stopped waiting
		return slot{}, contextError(ctx)
	}
	return s.wait(ctx, q.enqueue(&waiter{flow: flow, memory: memory, granted: make(chan struct{})}))
}

// exchange releases the slot, and waits for another slot, for a costly hash that needs this memory. Errors: ErrBusy, or the error of ctx.
func (s slot) exchange(ctx context.Context, memory int64) (slot, error) {
	s.q.mu.Lock()
	s.q.free(s)
	s.q.waiters.sinceCostly-- // start had counted this hash as not costly
	w := &waiter{flow: s.flow, memory: memory, costly: true, granted: make(chan struct{})}
	s.q.waiters.addCostly(w)
	s.q.grant()
	if len(s.q.waiters.costly) > s.q.limits.Queue && !isGranted(w) {
		s.q.refuse(lastOfLongest(w, s.q.waiters.costly))
	}
	s.q.mu.Unlock()
	s.memory, s.costly = memory, true
	return s.wait(ctx, w)
}

func (s slot) release() {
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

// compute runs work for one hash, and then releases the slot. If ctx ends earlier, compute returns the error of ctx immediately, but
// the slot is released only when work has returned.
func (s slot) compute(ctx context.Context, work func() error) error {
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
		s.release()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for a hash: %w", ctx.Err())
	}
}

// refusal returns the reason that HashRefused gets for an error of the work.
func refusal(err error) string {
	if errors.As(err, new(*StartError)) {
		return RefusedStart
	}
	return RefusedProcess
}

// run acquires a slot and runs work in it. Errors: ErrBusy, the error of work, or the error of ctx.
func (q *queue) run(ctx context.Context, flow Flow, memory int64, work func() error) error {
	s, err := q.acquire(ctx, flow, memory)
	if err != nil {
		return err
	}
	return s.compute(ctx, work)
}

// enqueue adds a waiter, which may get its slot immediately. If the queue is then longer than its limit, enqueue refuses the last waiter
// of the longest flow. This waiter may be w itself.
func (q *queue) enqueue(w *waiter) *waiter {
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
		if q.waiters.waiting(class) > class.limit(q.limits.Queue) {
			q.refuse(lastOfLongest(w, q.waiters.first[class:]...))
			q.grant()
			break
		}
	}
	return w
}

// refuse removes a waiter from the queue and makes its caller return an error.
func (q *queue) refuse(w *waiter) {
	q.waiters.remove(w)
	w.refused = true
	close(w.granted)
}

// grant gives free slots to the next waiters. If the queue has at least two slots, reauthentications may not occupy all of them. The same
// is true for costly hashes, and for one source while other sources use the queue.
func (q *queue) grant() {
	limit := max(1, q.limits.Concurrency-1)
	for q.slots > 0 {
		w, memory := q.waiters.next(q.reauths < limit, limit), q.memory
		if costly := q.waiters.nextCostly(); costly != nil && q.costly < limit && !q.yields(costly, w) {
			switch {
			case costly.memory <= q.memory:
				w = costly
			case q.costly == 0: // reserve memory for this hash; if another costly hash runs, it gets the memory of that hash
				memory -= costly.memory
			}
		}
		if w == nil || w.memory > memory {
			return
		}
		q.start(w)
	}
}

// yields reports whether a costly hash must wait until another hash has started. This is so if the costly hash would leave no slot or no
// memory to other hashes. It then waits until as many other hashes have started as there are slots.
func (q *queue) yields(costly, other *waiter) bool {
	return other != nil && (q.limits.Concurrency == 1 || costly.memory+other.memory > q.total) &&
		q.waiters.sinceCostly < q.limits.Concurrency
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
	errTimeout = fmt.Errorf("%w: no slot was free in time", ErrBusy)
	errFull    = fmt.Errorf("%w: the queue is full", ErrBusy)
)

// wait waits until the waiter gets its slot, at most Limits.MaxWait after its arrival. Errors: ErrBusy, or the error of ctx.
func (s slot) wait(ctx context.Context, w *waiter) (slot, error) {
	timer := time.NewTimer(s.q.limits.MaxWait - time.Since(s.arrived))
	defer timer.Stop()
	select {
	case <-w.granted:
	case <-ctx.Done():
		if !s.q.abandon(w) && !w.refused {
			s.release()
		}
		return slot{}, contextError(ctx)
	case <-timer.C:
		if s.q.abandon(w) {
			s.q.observer.HashRefused(RefusedTimeout)
			return slot{}, errTimeout
		}
	}
	if w.refused {
		s.q.observer.HashRefused(RefusedQueueFull)
		return slot{}, errFull
	}
	s.waited = time.Since(s.arrived)
	return s, nil
}

// abandon removes a waiter. It returns false if the waiter already has its slot or was refused.
func (q *queue) abandon(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.waiters.remove(w) {
		return false
	}
	q.grant()
	return true
}

func contextError(ctx context.Context) error {
	return fmt.Errorf("wait for a slot to hash: %w", ctx.Err())
}
