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

// line is a queue whose callers wait, one after the other as they came.
type line struct {
	q       *queue
	release func()
	served  chan string
	results []func() error
}

// newLine returns a line behind hashes that have all units, within synctest.Test.
func newLine(l Limits) *line {
	q := newQueue(l, int64(l.Concurrency), nil)
	return &line{q: q, release: occupy(q), served: make(chan string, 1000)}
}

// join has a caller wait, whose hash takes a second.
func (l *line) join(ctx context.Context, name string, class Class, memory int64) {
	l.joinFlow(ctx, name, Flow{Class: class}, memory)
}

func (l *line) joinFlow(ctx context.Context, name string, flow Flow, memory int64) {
	done := make(chan error, 1)
	go func() {
		done <- l.q.run(ctx, flow, memory, func() error {
			l.served <- name
			<-time.After(time.Second)
			return nil
		})
	}()
	synctest.Wait()
	l.results = append(l.results, func() error { return <-done })
}

// order lets all hashes happen, and returns the names in the order of their starts.
func (l *line) order(t *testing.T) string {
	t.Helper()
	l.release()
	for _, result := range l.results {
		if err := result(); err != nil {
			t.Errorf("a caller that waited: %v", err)
		}
	}
	close(l.served)
	order := ""
	for name := range l.served {
		order += name
	}
	return order
}

// TestWhileOthersWaitEveryFourthHashIsAReauthentication has reauthentications wait before anybody else comes.
func TestWhileOthersWaitEveryFourthHashIsAReauthentication(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ came, want string }{
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
			l := newLine(Limits{Concurrency: 1, Queue: 100, MaxWait: time.Hour})
			l.q.waiters.others = 0 // as after a reauthentication
			for _, who := range test.came {
				l.join(t.Context(), string(who), classOf[who], 1)
			}
			if diff := cmp.Diff(test.want, l.order(t)); diff != "" {
				t.Errorf("%s: the order (-want +got):\n%s", name, diff)
			}
		})
	}
}

// TestNoClassStarves keeps each class waiting for as long as the others come, more of them than are served.
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
				t.Errorf("%d hashes in 200 s, %d at once", all, concurrency)
			}
			if part := served[Reauthentication] * 100 / all; part < 20 || part > 25 {
				t.Errorf("%d %% of the hashes are reauthentications, want a quarter", part)
			}
			if min(served[Login], served[Other])*100/all < 30 {
				t.Errorf("%v are served, want as many logins as others", served)
			}
			<-time.After(2 * time.Second) // for those under way
		})
	}
}

// TestAQuarterOfThePlacesIsForLogins fills what each class may take.
func TestAQuarterOfThePlacesIsForLogins(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ places, logins, others, reauthentications int }{
		{0, 0, 0, 0}, {1, 1, 0, 0}, {2, 2, 1, 1}, {3, 3, 2, 1}, {4, 4, 3, 2}, {64, 64, 48, 32},
	} {
		for class, want := range []int{test.logins, test.others, test.reauthentications} {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(Limits{Concurrency: 1, Queue: test.places, MaxWait: time.Hour}, 1, nil)
				defer occupy(q)()
				fill := func(c Class) (n int) {
					for ; !isRefused(t, q, c); n++ {
					}
					return n
				}
				if got := fill(Class(class)); got != want {
					t.Errorf("class %d takes %d of %d places, want %d", class, got, test.places, want)
				}
				fill(Login)
				if q.waiting() != test.places {
					t.Errorf("%d wait, want %d", q.waiting(), test.places)
				}
			})
		}
	}
}

// isRefused reports whether there was no place for one more.
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

// TestHashesThatNeedAllMemoryLetOthersStart first, as many as there are slots.
func TestHashesThatNeedAllMemoryLetOthersStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 2, MaxWait: time.Hour}, 2, nil)
		begun := make(chan string, 4)
		var results []<-chan error
		start := func(name string, class Class, grow bool) {
			done := make(chan error, 1)
			results = append(results, done)
			go func() {
				turn, err := q.take(t.Context(), Flow{Class: class}, 1)
				if err == nil && grow {
					<-time.After(time.Second) // the hash is read
					turn, err = turn.exchange(t.Context(), 2)
				}
				if err != nil {
					done <- err
					return
				}
				begun <- name
				done <- turn.hash(t.Context(), func() error { <-time.After(5 * time.Second); return nil })
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
		close(begun)
		var order []string
		for name := range begun {
			order = append(order, name)
		}
		for i := range order { // both find out in the same moment
			order[i] = strings.TrimPrefix(strings.TrimPrefix(order[i], "first "), "second ")
		}
		slices.Sort(order[:2]) // they run at the same time
		if diff := cmp.Diff([]string{"another login", "login", "grown", "grown"}, order); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
		if q.memory != 2 || q.slots != 2 || q.waiting() != 0 {
			t.Errorf("%d units are free and %d wait at the end", q.memory, q.waiting())
		}
	})
}

// TestACostlyHashWaitsNoLongerThanOthers counts both of its waits together.
func TestACostlyHashWaitsNoLongerThanOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		q := newQueue(Limits{Concurrency: 2, Queue: 2, MaxWait: 3 * time.Second}, 2, &seen)
		release := occupy(q)
		began := time.Now()
		go func() { <-time.After(2 * time.Second); release() }()
		turn, err := q.take(t.Context(), Flow{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer occupy(q)()
		synctest.Wait()
		if _, err := turn.exchange(t.Context(), 2); !errors.Is(err, ErrBusy) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %s, want ErrBusy after 3 s", err, time.Since(began))
		}
		if diff := cmp.Diff([]string{RefusedTimeout}, seen.refused); diff != "" {
			t.Errorf("refusals (-want +got):\n%s", diff)
		}
	})
}

// TestWhoGivesUpLeavesItsPlaceAndItsUnits gives up before its turn, and in the moment in which it comes.
func TestWhoGivesUpLeavesItsPlaceAndItsUnits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 10, MaxWait: time.Hour}, 2, nil)
		release := occupy(q)
		for _, units := range []int64{2, 1, 1, 2} {
			for class := Login; class < classes; class++ {
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_ = q.run(ctx, Flow{Class: class}, units, func() error { return nil })
				}()
			}
		}
		<-time.After(time.Second)
		release()
		synctest.Wait()
		if q.memory != 2 || q.slots != 2 || q.waiting() != 0 {
			t.Errorf("%d units are free and %d wait at the end", q.memory, q.waiting())
		}
	})
}
