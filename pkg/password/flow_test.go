package password

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loginFrom returns the flow of a login from a network. The network depends on the letter, but not on its case.
func loginFrom(letter rune) Flow {
	return Flow{Source: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(letter | 0x20)}), 8)}
}

// TestEachNetworkIsServedInRotation queues logins from several networks. Each letter stands for a network.
func TestEachNetworkIsServedInRotation(t *testing.T) {
	t.Parallel()
	for arrivals, want := range map[string]string{
		"aaaaaab":   "abaaaaa", // b does not wait for all logins from a
		"aaaabbbbc": "abcabab" + "ab",
		"aaabc":     "abcaa",
		"abcabc":    "abcabc",
		"aaaa":      "aaaa",
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newTestQueue(Limits{Concurrency: 1, Queue: 100, MaxWait: time.Hour})
			for _, name := range arrivals {
				l.joinFlow(t.Context(), string(name), loginFrom(name), 1)
			}
			if diff := cmp.Diff(want, l.order(t)); diff != "" {
				t.Errorf("%s: the order (-want +got):\n%s", arrivals, diff)
			}
			if len(l.q.waiters.firstOrder.last) != 0 {
				t.Errorf("%s: %d flows are kept at the end", arrivals, len(l.q.waiters.firstOrder.last))
			}
		})
	}
}

// TestAFullQueueRefusesTheNetworkWithTheMostCallers queues more logins than the queue can hold. A login from the network with the most
// waiting logins must be refused, not always the last login.
func TestAFullQueueRefusesTheNetworkWithTheMostCallers(t *testing.T) {
	t.Parallel()
	for arrivals, want := range map[string]string{
		"aaaab":     "baaa a", // the networks of the served logins in any order, then those of the refused logins
		"aaaabcdef": "abcd aaaef",
		"aaaaa":     "aaaa a",
		"abcde":     "abcd e",
		"aabbc":     "abbc a", // a or b: both have two
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newTestQueue(Limits{Concurrency: 1, Queue: 4, MaxWait: time.Hour})
			for _, name := range arrivals {
				l.joinFlow(t.Context(), string(name), loginFrom(name), 1)
			}
			l.release()
			var served, refused []string
			for i, result := range l.results {
				if err := result(); errors.Is(err, ErrBusy) {
					refused = append(refused, arrivals[i:i+1])
				} else if err == nil {
					served = append(served, arrivals[i:i+1])
				}
			}
			slices.Sort(served)
			slices.Sort(refused)
			served, refused = slices.Clip(served), slices.Clip(refused)
			wantServed, wantRefused, _ := strings.Cut(want, " ")
			if got := strings.Join(served, ""); got != sorted(wantServed) || strings.Join(refused, "") != sorted(wantRefused) {
				t.Errorf("%s: served %s, refused %v; want %s", arrivals, got, refused, want)
			}
		})
	}
}

func sorted(s string) string {
	letters := strings.Split(s, "")
	slices.Sort(letters)
	return strings.Join(letters, "")
}

// TestReauthenticationsLeaveASlotToOthers checks that with at least two slots, a login does not wait for reauthentications.
func TestReauthenticationsLeaveASlotToOthers(t *testing.T) {
	t.Parallel()
	for concurrency, want := range map[int]int64{1: 1, 2: 1, 3: 2, 8: 7} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(Limits{Concurrency: concurrency, Queue: 100, MaxWait: time.Hour}, int64(concurrency), nil)
			ended := make(chan struct{})
			for i := range 20 {
				go func() {
					_ = q.run(t.Context(), Flow{Class: Reauthentication, Second: i%2 == 0}, 1, func() error { <-ended; return nil })
				}()
			}
			synctest.Wait()
			if got := q.running.Load(); got != want {
				t.Errorf("%d of %d slots are taken, want %d", got, concurrency, want)
			}
			if concurrency > 1 {
				if err := q.run(t.Context(), Flow{}, 1, func() error { return nil }); err != nil {
					t.Errorf("a login: %v", err)
				}
			}
			close(ended)
			synctest.Wait()
			if q.slots != concurrency || q.memory != int64(concurrency) || q.reauths != 0 {
				t.Errorf("at the end, %d slots and %d units of memory are free, and %d reauthentications run", q.slots, q.memory, q.reauths)
			}
		})
	}
}

// TestCostlyHashesLeaveASlotToOthers queues several costly hashes. While memory is free, they must leave one slot to other hashes,
// regardless of their number.
func TestCostlyHashesLeaveASlotToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 10, MaxWait: time.Hour}, 100, nil)
		start := time.Now()
		ended := make(chan error, 3)
		for _, memory := range []int64{64, 19, 100} {
			go func() {
				s, err := q.acquire(t.Context(), Flow{}, 19)
				if err == nil {
					s, err = s.exchange(t.Context(), memory)
				}
				if err == nil {
					err = s.compute(t.Context(), func() error { <-time.After(time.Minute); return nil })
				}
				ended <- err
			}()
			synctest.Wait()
		}
		another := func(want time.Duration) {
			t.Helper()
			if err := q.run(t.Context(), Flow{}, 19, func() error { return nil }); err != nil || time.Since(start) != want {
				t.Errorf("another hash: %v after %s, want nil after %s", err, time.Since(start), want)
			}
		}
		another(0)
		<-time.After(90 * time.Second)
		another(90 * time.Second) // next to the second costly hash
		<-time.After(45 * time.Second)
		another(3 * time.Minute) // the third costly hash uses all memory
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if q.slots != 2 || q.memory != 100 || q.costly != 0 {
			t.Errorf("at the end, %d slots and %d units of memory are free, and %d costly hashes run", q.slots, q.memory, q.costly)
		}
	})
}

func TestCostlyHashes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA":  false,
		"$argon2id$v=19$m=65536,t=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA":  false,
		"$argon2i$v=19$m=65536,t=9,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA":   true,
		"$argon2id$v=19$m=65536,t=16,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA": true,
		"$2b$13$" + strings.Repeat(".", 53):                                  false,
		"$2b$14$" + strings.Repeat(".", 53):                                  true,
		"$pbkdf2-sha256$1000000$c2FsdA$" + strings.Repeat("A", 43):           false,
		"$pbkdf2-sha256$1000001$c2FsdA$" + strings.Repeat("A", 43):           true,
	} {
		hash, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if hash.costly() != want {
			t.Errorf("%s: costly is %t, want %t", text, hash.costly(), want)
		}
	}
}

// TestTheSecondHashOfARequestComesNext queues the second hash of a password change, which hashes the new password. This hash must start
// before all others. It counts as a reauthentication, like the first hash.
func TestTheSecondHashOfARequestComesNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newTestQueue(Limits{Concurrency: 1, Queue: 100, MaxWait: time.Hour})
		l.q.waiters.sinceReauth = 0
		for _, name := range "lllllllrr" {
			l.join(t.Context(), string(name), map[rune]Class{'l': Login, 'r': Reauthentication}[name], 1)
		}
		l.joinFlow(t.Context(), "R", Flow{Class: Reauthentication, Second: true}, 1)
		if diff := cmp.Diff("R"+"llllll"+"r"+"l"+"r", l.order(t)); diff != "" {
			t.Errorf("the order (-want +got):\n%s", diff)
		}
	})
}

// TestCostlyHashesOfEachNetworkAreServedInRotation queues many costly hashes from one network, then one costly hash from another network.
// This hash must not wait for all hashes of the first network.
func TestCostlyHashesOfEachNetworkAreServedInRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 2, Queue: 4, MaxWait: time.Hour}, 200, nil)
		order := make(chan string, 20)
		var results []<-chan error
		for _, name := range "aaaaaaab" {
			done := make(chan error, 1)
			results = append(results, done)
			go func() {
				s, err := q.acquire(t.Context(), loginFrom(name), 10)
				if err == nil {
					s, err = s.exchange(t.Context(), 50)
				}
				if err == nil {
					order <- string(name)
					err = s.compute(t.Context(), func() error { <-time.After(time.Second); return nil })
				}
				done <- err
			}()
			synctest.Wait()
		}
		refused := 0
		for i, done := range results {
			if err := <-done; errors.Is(err, ErrBusy) {
				refused++
			} else if i == 7 && err != nil {
				t.Errorf("the other network: %v", err)
			}
		}
		close(order)
		got := ""
		for name := range order {
			got += name
		}
		if got != "aabaa" || refused != 3 { // one runs and four wait
			t.Errorf("the order is %s, and %d hashes are refused; want aabaa and 3", got, refused)
		}
		if len(q.waiters.costlyOrder.last) != 0 || q.waiting() != 0 {
			t.Errorf("at the end %d flows are kept and %d callers wait", len(q.waiters.costlyOrder.last), q.waiting())
		}
	})
}

// TestACostlyHashThatNeedsAllAlternatesWithOthers queues costly hashes that need the only slot or all memory, and other hashes. They must
// alternate as described at yields.
func TestACostlyHashThatNeedsAllAlternatesWithOthers(t *testing.T) {
	t.Parallel()
	for concurrency, memory := range map[int]int64{1: 10, 3: 100} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(Limits{Concurrency: concurrency, Queue: 100, MaxWait: time.Hour}, 100, nil)
			order := make(chan string, 100)
			ended := make(chan error, 100)
			start := func(name string, costly bool) {
				go func() {
					s, err := q.acquire(t.Context(), Flow{}, 10)
					if err == nil && costly {
						s, err = s.exchange(t.Context(), memory)
					}
					if err == nil {
						order <- name
						err = s.compute(t.Context(), func() error { <-time.After(time.Second); return nil })
					}
					ended <- err
				}()
				synctest.Wait()
			}
			for range 6 {
				start("c", true)
			}
			for range 6 {
				start("o", false)
			}
			for range 12 {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
			got := ""
			for range 12 {
				got += <-order
			}
			want := map[int]string{1: "cocococococo", 3: "cooocooocccc"}[concurrency]
			if got != want {
				t.Errorf("%d slots: the order is %s, want %s", concurrency, got, want)
			}
		})
	}
}

// TestANetworkLeavesASlotToOthers checks that one network may use all slots only while no other network logs in.
func TestANetworkLeavesASlotToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Limits{Concurrency: 3, Queue: 100, MaxWait: time.Hour}, 3, nil)
		flood := func() {
			for range 10 {
				go func() {
					_ = q.run(t.Context(), loginFrom('a'), 1, func() error { <-time.After(time.Second); return nil })
				}()
			}
			synctest.Wait()
		}
		flood()
		if n := q.running.Load(); n != 3 {
			t.Errorf("the only network has %d of 3 slots, want 3", n)
		}
		<-time.After(time.Minute)
		if err := q.run(t.Context(), loginFrom('b'), 1, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		flood()
		if n := q.running.Load(); n != 2 {
			t.Errorf("one of two networks has %d of 3 slots, want 2", n)
		}
		start := time.Now()
		if err := q.run(t.Context(), loginFrom('b'), 1, func() error { return nil }); err != nil || time.Since(start) != 0 {
			t.Errorf("the login of the other network waits %s (%v), want no wait", time.Since(start), err)
		}
		<-time.After(time.Minute)
		flood()
		if n := q.running.Load(); n != 3 {
			t.Errorf("a minute after the other network's last login, the first one has %d of 3 slots, want 3", n)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if len(q.waiters.running) != 0 || q.slots != 3 {
			t.Errorf("at the end %v run and %d slots are free, want none and 3", q.waiters.running, q.slots)
		}
	})
}
