package password

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorder is an Observer that records its calls.
type recorder struct {
	mu      sync.Mutex
	done    []waitedRan
	refused []string
}

type waitedRan struct{ Waited, Ran time.Duration }

func (r *recorder) HashDone(waited, ran time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, waitedRan{waited, ran})
}

func (r *recorder) HashRefused(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, reason)
}

// occupy acquires all slots of the queue. release frees them.
func occupy(q *queue) (release func()) {
	ended := make(chan struct{})
	for range q.limits.Concurrency {
		go func() { _ = q.run(context.Background(), Flow{}, 1, func() error { <-ended; return nil }) }()
	}
	synctest.Wait()
	return func() { close(ended) }
}

// call submits a hash that ends immediately, and returns a function that waits for its error.
func call(ctx context.Context, q *queue) (result func() error) {
	errs := make(chan error, 1)
	go func() { errs <- q.run(ctx, Flow{}, 1, func() error { return nil }) }()
	synctest.Wait()
	return func() error { return <-errs }
}

func TestQueueRunsAtMostConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const calls, concurrency = 50, 3
		q := newQueue(Limits{Concurrency: concurrency, Queue: calls, MaxWait: time.Hour}, int64(concurrency), nil)
		start := time.Now()
		var running, highest atomic.Int64
		var group sync.WaitGroup
		for range calls {
			group.Go(func() {
				err := q.run(t.Context(), Flow{}, 1, func() error {
					now := running.Add(1)
					defer running.Add(-1)
					for h := highest.Load(); now > h && !highest.CompareAndSwap(h, now); h = highest.Load() {
					}
					<-time.After(time.Second)
					return nil
				})
				if err != nil {
					t.Errorf("run: %v", err)
				}
			})
		}
		group.Wait()
		if highest.Load() != concurrency {
			t.Errorf("%d hashes ran concurrently, want %d", highest.Load(), concurrency)
		}
		if took, want := time.Since(start), 17*time.Second; took != want { // 50 calls / 3, rounded up
			t.Errorf("the calls took %s, want %s", took, want)
		}
	})
}

func TestQueueRefusesImmediatelyWhenFull(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 5} {
		synctest.Test(t, func(t *testing.T) {
			var observed recorder
			q := newQueue(Limits{Concurrency: 2, Queue: size, MaxWait: time.Hour}, 2, &observed)
			release := occupy(q)
			var waiting []func() error
			for range size {
				waiting = append(waiting, call(t.Context(), q))
			}
			if q.waiting() != size || q.running.Load() != 2 {
				t.Errorf("%d wait and %d run, want %d and 2", q.waiting(), q.running.Load(), size)
			}

			start := time.Now()
			if err := call(t.Context(), q)(); !errors.Is(err, ErrBusy) {
				t.Errorf("one more: %v, want ErrBusy", err)
			}
			if time.Since(start) != 0 {
				t.Errorf("the refusal took %s, want no time", time.Since(start))
			}
			release()
			for _, result := range waiting {
				if err := result(); err != nil {
					t.Errorf("a waiting caller: %v", err)
				}
			}
			if diff := cmp.Diff([]string{RefusedQueueFull}, observed.refused); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if q.waiting() != 0 {
				t.Errorf("%d callers still wait", q.waiting())
			}
		})
	}
}

func TestQueueRefusesAfterMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed recorder
		q := newQueue(Limits{Concurrency: 1, Queue: 1, MaxWait: 3 * time.Second}, 1, &observed)
		defer occupy(q)()
		start := time.Now()
		err := call(t.Context(), q)()
		if !errors.Is(err, ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s, want ErrBusy after 3s", err, time.Since(start))
		}
		if diff := cmp.Diff([]string{RefusedTimeout}, observed.refused); diff != "" {
			t.Errorf("refusals (-want +got):\n%s", diff)
		}
		if q.waiting() != 0 {
			t.Errorf("%d callers still wait", q.waiting())
		}
	})
}

func TestQueueHonorsTheCallersContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed recorder
		q := newQueue(Limits{Concurrency: 1, Queue: 1, MaxWait: time.Minute}, 1, &observed)
		release := occupy(q)

		canceled, cancel := context.WithCancel(t.Context())
		result := call(canceled, q)
		cancel()
		if err := result(); !errors.Is(err, context.Canceled) || errors.Is(err, ErrBusy) {
			t.Errorf("canceled while waiting: %v, want context.Canceled alone", err)
		}

		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := call(short, q)()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy) || time.Since(start) != time.Second {
			t.Errorf("%v after %s, want context.DeadlineExceeded alone after 1s", err, time.Since(start))
		}

		release()
		synctest.Wait()
		err = q.run(canceled, Flow{}, 1, func() error { t.Error("the work was done for a canceled caller"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled before: %v, want context.Canceled", err)
		}
		if len(observed.refused) != 0 || q.waiting() != 0 {
			t.Errorf("refusals %v, and %d callers wait; want none", observed.refused, q.waiting())
		}
	})
}

func TestQueueServesInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 3, Queue: 10, MaxWait: time.Minute}, 3, nil)
		release := occupy(q)
		order := make(chan int64, 3)
		var group sync.WaitGroup
		for _, memory := range []int64{3, 1, 2} {
			group.Go(func() {
				_ = q.run(t.Context(), Flow{}, memory, func() error {
					if memory == 3 && q.running.Load() != 1 {
						t.Errorf("%d hashes run at the same time as the hash that needs all memory, want none", q.running.Load()-1)
					}
					order <- memory
					<-time.After(time.Duration(memory) * time.Second)
					return nil
				})
			})
			synctest.Wait()
		}
		release()
		group.Wait()
		if first := <-order; first != 3 || len(order) != 2 {
			t.Errorf("the first hash needs %d units of memory, and %d others ran; want 3 and 2", first, len(order))
		}
	})
}

func TestQueueReportsDurations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed recorder
		q := newQueue(Limits{Concurrency: 1, Queue: 1, MaxWait: time.Minute}, 1, &observed)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { _ = q.run(t.Context(), Flow{}, 1, func() error { <-time.After(2 * time.Second); return nil }) })
			synctest.Wait()
		}
		group.Wait()
		want := []waitedRan{{0, 2 * time.Second}, {2 * time.Second, 2 * time.Second}}
		if diff := cmp.Diff(want, observed.done); diff != "" {
			t.Errorf("the measured times (-want +got):\n%s", diff)
		}
	})
}
