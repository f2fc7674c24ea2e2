package outbox_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
)

// The tests of this file use the fake clock of synctest.

func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAWakePublishesImmediately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture()
		defer s.run(t)()
		for range 10 {
			s.store.add(userEvent('a', 1))
			for range 100 { // several wakes count as one
				s.relay.Wake()
			}
			synctest.Wait()
			if _, waiting := s.store.count(); waiting != 0 {
				t.Fatal("the event still waits after a wake")
			}
		}
		if s.observer.age != 0 {
			t.Errorf("the last event was %s old", s.observer.age)
		}
	})
}

func TestAnEventWithALostWakeIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture()
		defer s.run(t)()
		s.store.add(userEvent('a', 1))
		advance(time.Second)
		if _, waiting := s.store.count(); waiting != 0 {
			t.Error("the event waits for more than a second")
		}
		if s.observer.age == 0 || s.observer.age > time.Second {
			t.Errorf("the event was published after %s", s.observer.age)
		}
	})
}

func TestAnIdleRelayIsQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture()
		defer s.run(t)()
		advance(time.Minute)
		if attempts, _ := s.store.count(); attempts < 60 || attempts > 121 {
			t.Errorf("%d calls of Drain for an empty outbox in a minute, want 60 to 121", attempts)
		}
	})
}

// TestAWakeDoesNotShortenTheDelayAfterAFailure wakes the relay every millisecond while publishing fails, as many requests would do. The
// delays between the attempts must not become shorter.
func TestAWakeDoesNotShortenTheDelayAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(fixture){
		"broker away":          func(s fixture) { s.broker.refuse(func(event.Event) bool { return true }) },
		"database unavailable": func(s fixture) { s.store.fail(errors.New("unavailable")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newFixture(userEvent('a', 1))
			fault(s)
			defer s.run(t)()
			for range 10_000 {
				s.relay.Wake()
				advance(time.Millisecond)
			}
			if attempts, _ := s.store.count(); attempts < 5 || attempts > 20 {
				t.Errorf("%s: %d attempts in 10 s, want 5 to 20", name, attempts)
			}
			for i, delay := range delays(s.store) {
				if delay > 2*time.Second || i < 3 && delay > 400*time.Millisecond {
					t.Errorf("%s: delay %d was %s, want at most 2 s, and at most 400 ms for the first three", name, i, delay)
				}
			}
			s.broker.refuse(nil)
			s.store.fail(nil)
			advance(2 * time.Second)
			if _, waiting := s.store.count(); waiting != 0 {
				t.Errorf("%s: the event still waits 2 s after the end of the fault", name)
			}
		})
	}
}

func delays(s *fakeStore) (out []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range len(s.attempts) - 1 {
		out = append(out, s.attempts[i+1].Sub(s.attempts[i]))
	}
	return out
}

func TestAfterAFaultTheFirstDelayIsShortAgain(t *testing.T) {
	t.Parallel()
	for name, waiting := range map[string][]event.Event{"an event waits": {userEvent('a', 1)}, "nothing waits": nil} {
		synctest.Test(t, func(t *testing.T) {
			s := newFixture(waiting...)
			s.store.fail(errors.New("unavailable"))
			defer s.run(t)()
			advance(time.Minute)
			s.store.fail(nil)
			advance(2 * time.Second)
			s.store.fail(errors.New("unavailable again"))
			s.relay.Wake()
			synctest.Wait()
			before, _ := s.store.count()
			advance(100 * time.Millisecond)
			if after, _ := s.store.count(); after == before {
				t.Errorf("%s: no attempt within 100 ms after the first failure", name)
			}
		})
	}
}

// hangingBroker confirms the first event, but only when ctx ends. It does not confirm the other events.
type hangingBroker struct{}

func (hangingBroker) Publish(ctx context.Context, events []event.Event) []error {
	<-ctx.Done()
	errs := make([]error, len(events))
	for i := range errs {
		if i > 0 {
			errs[i] = ctx.Err()
		}
	}
	return errs
}

func TestAHangingBrokerIsAbandonedAfterSevenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(userEvent('a', 1), userEvent('b', 1), userEvent('c', 1))
		s.relay = outbox.New(s.store, hangingBroker{}, outbox.Config{Observer: s.observer})
		start := time.Now()
		if err := s.relay.Flush(t.Context()); err == nil {
			t.Error("Flush succeeds although two events remain, want an error")
		}
		if _, waiting := s.store.count(); waiting != 2 {
			t.Errorf("%d events wait, want 2: the confirmed event is removed", waiting)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("Flush took %s, want 7 s", took)
		}
		stop := s.run(t) // the process ends in the middle of a batch
		stop()
		if _, waiting := s.store.count(); waiting == 0 {
			t.Error("no event waits, although the broker confirms only the first")
		}
	})
}

func TestARelayRetriesSoonWhileAnotherRelayPublishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(userEvent('a', 1))
		s.store.fail(outbox.ErrBusy)
		defer s.run(t)()
		for range 1000 { // the delay neither grows nor ends with a wake
			s.relay.Wake()
			advance(time.Millisecond)
		}
		if attempts, _ := s.store.count(); attempts < 50 || attempts > 101 {
			t.Errorf("%d attempts in a second, want 50 to 101", attempts)
		}
		s.store.fail(nil)
		advance(20 * time.Millisecond)
		if _, waiting := s.store.count(); waiting != 0 {
			t.Error("the event waits after the other relay has ended")
		}
	})
}

func TestAFullBatchIsFollowedImmediatelyByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture()
		for n := range 2000 {
			s.store.add(userEvent(byte(n%200), 1))
		}
		defer s.run(t)()
		if _, waiting := s.store.count(); waiting != 0 {
			t.Errorf("%d events still wait, want 0 without any delay", waiting)
		}
	})
}

// TestARefusedEventDelaysNoOther stores events of one user while the broker refuses an event of another user. The stored events must be
// published immediately.
func TestARefusedEventDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(userEvent('a', 1))
		s.broker.err = refusal{}
		s.broker.refuse(func(e event.Event) bool { return label(e) == "a1" })
		defer s.run(t)()
		for range 10 {
			advance(300 * time.Millisecond)
			s.store.add(userEvent('b', 1))
			s.relay.Wake()
			synctest.Wait()
			if _, waiting := s.store.count(); waiting != 1 {
				t.Fatal("the event of the other user waits behind the refused event")
			}
		}
	})
}
