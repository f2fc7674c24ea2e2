package password

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testQueue is a queue with callers who wait in the order of their calls to join.
type testQueue struct {
	q       *queue
	release func()
	started chan string
	results []func() error
}

// newTestQueue returns a testQueue whose slots are all occupied. It must be called in synctest.Test.
func newTestQueue(l Limits) *testQueue {
	q := newQueue(l, int64(l.Concurrency), nil)
	return &testQueue{q: q, release: occupy(q), started: make(chan string, 1000)}
}

// join adds a caller whose hash takes a second.
func (l *testQueue) join(ctx context.Context, name string, class Class, memory int64) {
	l.joinFlow(ctx, name, Flow{Class: class}, memory)
}

func (l *testQueue) joinFlow(ctx context.Context, name string, flow Flow, memory int64) {
	done := make(chan error, 1)
	go func() {
		done <- l.q.run(ctx, flow, memory, func() error {
			l.started <- name
			<-time.After(time.Second)
			return nil
		})
	}()
	synctest.Wait()
	l.results = append(l.results, func() error { return <-done })
}

// order releases the slots, and returns the names in the order in which their hashes start.
func (l *testQueue) order(t *testing.T) string {
	t.Helper()
	l.release()
	for _, result := range l.results {
		if err := result(); err != nil {
			t.Errorf("a waiting caller: %v", err)
		}
	}
	close(l.started)
	order := ""
	for name := range l.started {
		order += name
	}
	return order
}

// TestWhileOthersWaitEveryFourthHashIsAReauthentication queues reauthentications and other hashes in several orders. While other hashes
// wait, only every fourth hash that starts may be a reauthentication.
func TestWhileOthersWaitEveryFourthHashIsAReauthentication(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ arrivals, want string }{
		"logins":                        {"rrrrrrlllllll", "lllrlllrlrrrr"},
		"registrations":                 {"rrrrooooo", "oooroorrr"},
		"both, in order":                {"rrrloollo", "loorllorr"},
		"reauthentications alone":       {"rrrr", "rrrr"},
		"logins first":                  {"llrlr", "lllrr"},
		"a reauthentication comes last": {"llllllr", "lllrlll"},
	}
	classOf := map[rune]Class{'l': Login, 'o': Other, 'r': Reauthentication}
	for name, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			l := newTestQueue(Limits{Concurrency: 1, Queue: 100, MaxWait: time.Hour})
			l.q.waiters.sinceReauth = 0 // as if a reauthentication had just started
			for _, letter := range test.arrivals {
				l.join(t.Context(), string(letter), classOf[letter], 1)
			}
			if diff := cmp.Diff(test.want, l.order(t)); diff != "" {
				t.Errorf("%s: the order (-want +got):\n%s", name, diff)
			}
		})
	}
}

// TestNoClassStarves runs many callers of each class, so that hashes of all classes always wait. Each class must get its share of the
// hashes.
func TestNoClassStarves(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(Limits{Concurrency: concurrency, Queue: 100, MaxWait: 10 * time.Minute}, int64(concurrency), nil)
			var counts [classes]atomic.Int64
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
			defer cancel()
			for class := Login; class < classes; class++ {
				for range 8 {
					go func() {
						for ctx.Err() == nil {
							_ = q.run(ctx, Flow{Class: class}, 1, func() error {
								<-time.After(time.Second)
								counts[class].Add(1)
								return nil
							})
						}
					}()
				}
			}
			<-ctx.Done()
			synctest.Wait()
			var served [classes]int64
			for class := range served {
				served[class] = counts[class].Load()
			}
			all := served[Login] + served[Other] + served[Reauthentication]
			if all < 190*int64(concurrency) {
				t.Errorf("%d hashes in 200 s with a concurrency of %d, want at least %d", all, concurrency, 190*concurrency)
			}
			if part := served[Reauthentication] * 100 / all; part < 20 || part > 25 {
				t.Errorf("%d %% of the hashes are reauthentications, want 20 to 25 %%", part)
			}
			if min(served[Login], served[Other])*100/all < 30 {
				t.Errorf("%v hashes of each class, want about as many of class Login as of class Other", served)
			}
			<-time.After(2 * time.Second) // until the running hashes have ended
		})
	}
}

// TestAQuarterOfTheQueueIsForLogins fills the queue with hashes of one class until a hash is refused, and checks how many hashes of this
// class wait.
func TestAQuarterOfTheQueueIsForLogins(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ size, logins, others, reauthentications int }{
		{0, 0, 0, 0}, {1, 1, 0, 0}, {2, 2, 1, 1}, {3, 3, 2, 1}, {4, 4, 3, 2}, {64, 64, 48, 32},
	} {
		for class, want := range []int{test.logins, test.others, test.reauthentications} {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(Limits{Concurrency: 1, Queue: test.size, MaxWait: time.Hour}, 1, nil)
				defer occupy(q)()
				fill := func(c Class) (n int) {
					for ; !isRefused(t, q, c); n++ {
					}
					return n
				}
				if got := fill(Class(class)); got != want {
					t.Errorf("%d hashes of class %d wait in a queue of %d, want %d", got, class, test.size, want)
				}
				fill(Login)
				if q.waiting() != test.size {
					t.Errorf("%d hashes wait after logins have filled the queue, want %d", q.waiting(), test.size)
				}
			})
		}
	}
}

// isRefused reports whether one more hash of a class is refused.
func isRefused(t *testing.T, q *queue, class Class) bool {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- q.run(t.Context(), Flow{Class: class}, 1, func() error { return nil }) }()
	synctest.Wait()
	select {
	case err := <-done:
		return errors.Is(err, ErrBusy)
	default:
		return false
	}
}

// TestHashesThatNeedAllMemoryDoNotBlockOthers queues hashes that need all memory together with other hashes. Before such a hash starts,
// as many other hashes must start as there are slots.
func TestHashesThatNeedAllMemoryDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 2, MaxWait: time.Hour}, 2, nil)
		started := make(chan string, 4)
		var results []<-chan error
		start := func(name string, class Class, grow bool) {
			done := make(chan error, 1)
			results = append(results, done)
			go func() {
				s, err := q.acquire(t.Context(), Flow{Class: class}, 1)
				if err == nil && grow {
					<-time.After(time.Second) // the hash is loaded
					s, err = s.exchange(t.Context(), 2)
				}
				if err != nil {
					done <- err
					return
				}
				started <- name
				done <- s.compute(t.Context(), func() error { <-time.After(5 * time.Second); return nil })
			}()
			synctest.Wait()
		}
		start("first grown", Reauthentication, true)
		start("second grown", Login, true)
		start("login", Login, false)
		start("another login", Login, false)
		for _, done := range results {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		close(started)
		var order []string
		for name := range started {
			order = append(order, name)
		}
		for i := range order { // "first" and "second" may come in any order, because both exchange their slots at the same time
			order[i] = strings.TrimPrefix(strings.TrimPrefix(order[i], "first "), "second ")
		}
		slices.Sort(order[:2]) // the two logins run at the same time
		if diff := cmp.Diff([]string{"another login", "login", "grown", "grown"}, order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
		if q.memory != 2 || q.slots != 2 || q.waiting() != 0 {
			t.Errorf("at the end, %d units of memory are free and %d callers wait, want 2 and none", q.memory, q.waiting())
		}
	})
}

// TestACostlyHashWaitsAtMostMaxWait makes a costly hash wait for its first slot, and again when it exchanges this slot. MaxWait must
// limit the sum of both waits.
func TestACostlyHashWaitsAtMostMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed recorder
		q := newQueue(Limits{Concurrency: 2, Queue: 2, MaxWait: 3 * time.Second}, 2, &observed)
		release := occupy(q)
		start := time.Now()
		go func() { <-time.After(2 * time.Second); release() }()
		s, err := q.acquire(t.Context(), Flow{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer occupy(q)()
		synctest.Wait()
		if _, err := s.exchange(t.Context(), 2); !errors.Is(err, ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s, want ErrBusy after 3 s", err, time.Since(start))
		}
		if diff := cmp.Diff([]string{RefusedTimeout}, observed.refused); diff != "" {
			t.Errorf("refusals (-want +got):\n%s", diff)
		}
	})
}

// TestACanceledCallerReleasesItsSlotAndMemory ends the contexts of callers who wait, at the moment when they get their slots. At the end,
// all slots and all memory must be free.
func TestACanceledCallerReleasesItsSlotAndMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 10, MaxWait: time.Hour}, 2, nil)
		release := occupy(q)
		for _, memory := range []int64{2, 1, 1, 2} {
			for class := Login; class < classes; class++ {
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_ = q.run(ctx, Flow{Class: class}, memory, func() error { return nil })
				}()
			}
		}
		<-time.After(time.Second)
		release()
		synctest.Wait()
		if q.memory != 2 || q.slots != 2 || q.waiting() != 0 {
			t.Errorf("at the end, %d units of memory are free and %d callers wait, want 2 and none", q.memory, q.waiting())
		}
	})
}
