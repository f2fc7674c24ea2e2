package outbox_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
)

// The tests of this file run on the clock of a bubble, which moves only when all sleep.

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAWakePublishesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		defer s.run(t)()
		for range 10 {
			s.store.add(of('a', 1))
			for range 100 { // many wakes are one
				s.relay.Wake()
			}
			synctest.Wait()
			if _, waiting := s.store.count(); waiting != 0 {
				t.Fatal("the event waits though the relay was woken")
			}
		}
		if s.observer.age != 0 {
			t.Errorf("the last event was %s old", s.observer.age)
		}
	})
}

func TestAnEventWhoseWakeIsLostIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		defer s.run(t)()
		s.store.add(of('a', 1))
		pass(time.Second)
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
		s := newSetting()
		defer s.run(t)()
		pass(time.Minute)
		if tries, _ := s.store.count(); tries < 60 || tries > 121 {
			t.Errorf("%d looks into an empty outbox in a minute", tries)
		}
	})
}

// TestAWakeDoesNotCutThePauseAfterAFailure wakes the relay every millisecond, as the
// requests do that go on while the broker or the database is away.
func TestAWakeDoesNotCutThePauseAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(setting){
		"broker away":   func(s setting) { s.broker.refuse(func(event.Event) bool { return true }) },
		"database away": func(s setting) { s.store.fail(errors.New("away")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetting(of('a', 1))
			fault(s)
			defer s.run(t)()
			for range 10_000 {
				s.relay.Wake()
				pass(time.Millisecond)
			}
			if tries, _ := s.store.count(); tries < 5 || tries > 20 {
				t.Errorf("%s: %d tries in 10 s, want 5 to 20", name, tries)
			}
			for i, pause := range pauses(s.store) {
				if pause > 2*time.Second || i < 3 && pause > 400*time.Millisecond {
					t.Errorf("%s: pause %d was %s", name, i, pause)
				}
			}
			s.broker.refuse(nil)
			s.store.fail(nil)
			pass(2 * time.Second)
			if _, waiting := s.store.count(); waiting != 0 {
				t.Errorf("%s: the event still waits 2 s after the end of the fault", name)
			}
		})
	}
}

func pauses(s *fakeStore) (out []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range len(s.tries) - 1 {
		out = append(out, s.tries[i+1].Sub(s.tries[i]))
	}
	return out
}

func TestAfterAFaultTheFirstPauseIsShortAgain(t *testing.T) {
	t.Parallel()
	for name, waiting := range map[string][]event.Event{"an event waits": {of('a', 1)}, "nothing waits": nil} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetting(waiting...)
			s.store.fail(errors.New("away"))
			defer s.run(t)()
			pass(time.Minute)
			s.store.fail(nil)
			pass(2 * time.Second)
			s.store.fail(errors.New("away again"))
			s.relay.Wake()
			synctest.Wait()
			before, _ := s.store.count()
			pass(100 * time.Millisecond)
			if after, _ := s.store.count(); after == before {
				t.Errorf("%s: no try within 100 ms of the first failure", name)
			}
		})
	}
}

// hangingBroker confirms the first event, and says nothing of the others until its time is up.
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

func TestABrokerThatHangsIsLeftAfterSevenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(of('a', 1), of('b', 1), of('c', 1))
		s.relay = outbox.New(s.store, hangingBroker{}, s.observer, slog.New(slog.DiscardHandler))
		start := time.Now()
		if err := s.relay.Flush(t.Context()); err == nil {
			t.Error("no error, though two events are left")
		}
		if _, waiting := s.store.count(); waiting != 2 {
			t.Errorf("%d events wait, want 2: what was confirmed is removed", waiting)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("left after %s", took)
		}
		stop := s.run(t) // and in the middle of it, when the process ends
		stop()
		if _, waiting := s.store.count(); waiting == 0 {
			t.Error("no event waits, though the broker confirms one at a time only")
		}
	})
}

func TestARelayThatFindsAnotherAtWorkTriesAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(of('a', 1))
		s.store.fail(outbox.ErrBusy)
		defer s.run(t)()
		for range 1000 { // never longer, however often; never sooner for a wake
			s.relay.Wake()
			pass(time.Millisecond)
		}
		if tries, _ := s.store.count(); tries < 50 || tries > 101 {
			t.Errorf("%d tries in a second, want 50 to 101", tries)
		}
		s.store.fail(nil)
		pass(20 * time.Millisecond)
		if _, waiting := s.store.count(); waiting != 0 {
			t.Error("the event waits though the other relay has ended")
		}
	})
}

func TestAFullBatchIsFollowedByTheNextAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		for n := range 2000 {
			s.store.add(of(byte(n%200), 1))
		}
		defer s.run(t)()
		if _, waiting := s.store.count(); waiting != 0 {
			t.Errorf("%d events still wait, though no time had to pass", waiting)
		}
	})
}

// TestARefusedEventDelaysNoOther publishes an event of another user while one is refused again and again.
func TestARefusedEventDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(of('a', 1))
		s.broker.err = refusal{}
		s.broker.refuse(func(e event.Event) bool { return label(e) == "a1" })
		defer s.run(t)()
		for range 10 {
			pass(300 * time.Millisecond)
			s.store.add(of('b', 1))
			s.relay.Wake()
			synctest.Wait()
			if _, waiting := s.store.count(); waiting != 1 {
				t.Fatal("another user's event waits")
			}
		}
	})
}
