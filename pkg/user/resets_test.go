package user

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// TestTheBacklogOfResetsIsBoundedAndNeverWaits adds more accounts than the backlog can hold. The excess accounts must be dropped and
// reported immediately.
func TestTheBacklogOfResetsIsBoundedAndNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, release := newResetQueue(), make(chan struct{})
		var running, most, done, dropped atomic.Int32
		work := func(context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			done.Add(1)
			return nil
		}
		began := time.Now()
		for range resetBacklog + 3 {
			r.enqueue(t.Context(), uuid.New(), work, func(err error) {
				if dropped.Add(1); !errors.Is(err, errBacklogFull) {
					t.Errorf("an account was dropped because of %v, want %v", err, errBacklogFull)
				}
			})
		}
		if time.Since(began) != 0 || dropped.Load() != 3 {
			t.Errorf("%d accounts were dropped after %s, want 3 after 0s", dropped.Load(), time.Since(began))
		}
		<-time.After(2 * resetTime)
		if most.Load() != resetSenders {
			t.Errorf("the work of %d accounts runs concurrently, want %d", most.Load(), resetSenders)
		}
		close(release)
		if err := r.finish(t.Context()); err != nil || done.Load() != resetBacklog {
			t.Errorf("the work of %d accounts was done (%v), want %d", done.Load(), err, resetBacklog)
		}
	})
}

// TestTheWorkForOneAccountIsMerged requests resets for one account while an earlier reset waits or runs, and one after that reset has
// ended. Only the first and the last request may lead to work.
func TestTheWorkForOneAccountIsMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, id := newResetQueue(), uuid.New()
		var done atomic.Int32
		request := func() {
			r.enqueue(t.Context(), id, func(context.Context) error {
				<-time.After(time.Second)
				done.Add(1)
				return nil
			}, func(err error) { t.Errorf("the account was dropped: %v", err) })
		}
		for range 300 {
			request()
		}
		<-time.After(resetTime + time.Second/2)
		if request(); done.Load() != 0 {
			t.Error("the work ended before the last request, want it to be running")
		}
		_ = r.finish(t.Context())
		request()
		if _ = r.finish(t.Context()); done.Load() != 2 {
			t.Errorf("the work was done %d times, want twice", done.Load())
		}
	})
}

// TestResetsThatWaitTooLongAreDropped enqueues work that ends only with its context, as with a database that does not respond. All
// accounts of the backlog must be dropped in time.
func TestResetsThatWaitTooLongAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newResetQueue()
		var dropped atomic.Int32
		for range 100 {
			r.enqueue(t.Context(), uuid.New(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
				func(error) { dropped.Add(1) })
		}
		began := time.Now()
		if err := r.finish(t.Context()); err != nil || dropped.Load() != 100 || time.Since(began) > resetTimeout+resetWork {
			t.Errorf("%d accounts were dropped after %s (%v), want 100 within %s",
				dropped.Load(), time.Since(began), err, resetTimeout+resetWork)
		}
	})
}

// TestLookupsAreMergedAndBounded sends concurrent requests for one email. They must share one lookup, even if the first client has
// disconnected. It then sends concurrent requests for many emails. At most resetLookups lookups may run concurrently; requests that would
// wait longer than a second must be refused.
func TestLookupsAreMergedAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, id := newResetQueue(), uuid.New()
		var lookups, running, most atomic.Int32
		lookup := func(ctx context.Context) (uuid.UUID, error) {
			lookups.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			<-time.After(300 * time.Millisecond)
			running.Add(-1)
			return id, ctx.Err()
		}
		gone, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		find := func(ctx context.Context, email string, want error) {
			wg.Go(func() {
				if got, err := r.find(ctx, email, lookup); !errors.Is(err, want) || err == nil && got != id {
					t.Errorf("find returns %s and %v for %s, want %s and %v", got, err, email, id, want)
				}
			})
		}
		find(gone, "ada@example.com", context.Canceled)
		synctest.Wait()
		leave()
		for range 300 {
			find(t.Context(), "Ada@Example.com", nil)
		}
		if wg.Wait(); lookups.Load() != 1 {
			t.Errorf("%d lookups were made for one email, want 1", lookups.Load())
		}
		var refused atomic.Int32
		for range 300 {
			wg.Go(func() {
				_, err := r.find(t.Context(), uuid.NewString()+"@example.com", lookup)
				var e *Error
				if errors.As(err, &e) && e.Code == Overloaded {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if most.Load() != resetLookups || refused.Load() != 300-4*resetLookups {
			t.Errorf("%d lookups ran concurrently and %d were refused, want %d and %d",
				most.Load(), refused.Load(), resetLookups, 300-4*resetLookups)
		}
	})
}
