package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore is an outbox in memory in which tests can inject faults.
type fakeStore struct {
	mu       sync.Mutex
	events   []event.Event
	err      error       // the error that Drain returns
	attempts []time.Time // the times of calls of Drain

	removal  error // the error of removals
	refusals map[uuid.UUID]int
	deferred []time.Duration // the delays of deferred events
}

func (s *fakeStore) add(events ...event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeStore) Drain(
	ctx context.Context, limits outbox.Limits, publish func(context.Context, []outbox.Waiting) []outbox.Outcome,
) (drained outbox.Drained, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, time.Now())
	if s.err != nil {
		return outbox.Drained{}, s.err
	}
	oldest := s.events[:min(limits.Events, len(s.events))]
	if len(oldest) == 0 {
		return outbox.Drained{}, nil
	}
	waiting := make([]outbox.Waiting, len(oldest))
	for i, e := range oldest {
		waiting[i] = outbox.Waiting{Event: e, Refusals: s.refusals[e.ID]}
	}
	rest := []event.Event{}
	for i, o := range publish(ctx, waiting) {
		if o.Result != outbox.Confirmed {
			rest = append(rest, oldest[i])
		}
		if o.Result == outbox.Refused || o.Result == outbox.Blocked {
			drained.Deferred++
			s.deferred = append(s.deferred, o.Retry)
		}
	}
	if ctx.Err() != nil { // a real database would fail
		return outbox.Drained{}, ctx.Err()
	}
	if s.removal != nil {
		return outbox.Drained{}, s.removal
	}
	drained.Taken, drained.Removed, drained.More = len(oldest), len(oldest)-len(rest), len(oldest) == limits.Events
	s.events = append(rest, s.events[len(oldest):]...)
	return drained, nil
}

func (s *fakeStore) Remove(_ context.Context, published []outbox.Waiting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removal != nil {
		return s.removal
	}
	s.events = slices.DeleteFunc(s.events, func(e event.Event) bool {
		return slices.ContainsFunc(published, func(w outbox.Waiting) bool { return w.ID == e.ID })
	})
	return nil
}

// count returns the number of calls of Drain, and the number of waiting events.
func (s *fakeStore) count() (attempts, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.attempts), len(s.events)
}

// fakeBroker is a Publisher that refuses the events that a test chooses.
type fakeBroker struct {
	mu      sync.Mutex
	refuses func(event.Event) bool
	err     error      // the error for these events; nil: as if the broker were unavailable
	rounds  [][]string // the labels of the events of each call
}

func (b *fakeBroker) refuse(refuses func(event.Event) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuses = refuses
}

func (b *fakeBroker) Publish(_ context.Context, events []event.Event) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(events))
	var round []string
	for i, e := range events {
		round = append(round, label(e))
		if b.refuses != nil && b.refuses(e) {
			errs[i] = errors.New("unavailable")
			if b.err != nil {
				errs[i] = fmt.Errorf("publish: %w", b.err)
			}
		}
	}
	b.rounds = append(b.rounds, round)
	return errs
}

// refusal is the error for an event that the broker refuses.
type refusal struct{}

func (refusal) Error() string { return "full" }
func (refusal) Refused() bool { return true }

// fakeObserver counts its calls.
type fakeObserver struct {
	mu                sync.Mutex
	published, failed int
	age               time.Duration // the age of the last published event
}

func (o *fakeObserver) EventPublished(_ string, age time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.published++
	o.age = age
}

func (o *fakeObserver) EventFailed(string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed++
}

// userEvent returns an event of a user with the version n. The letter identifies the user.
func userEvent(letter byte, n int64) event.Event {
	return event.Event{ID: uuid.New(), Type: event.UserUpdated, Subject: uuid.UUID{letter}, UserVersion: n, Time: time.Now()}
}

// label returns the letter of the user and the version of the event.
func label(e event.Event) string { return string(e.Subject[0]) + string(rune('0'+e.UserVersion)) }

// fixture is a relay with a fake store, broker and observer.
type fixture struct {
	store    *fakeStore
	broker   *fakeBroker
	observer *fakeObserver
	relay    *outbox.Relay
}

func newFixture(events ...event.Event) fixture {
	s := fixture{store: &fakeStore{events: events}, broker: &fakeBroker{}, observer: &fakeObserver{}}
	s.relay = outbox.New(s.store, s.broker, outbox.Config{Observer: s.observer})
	return s
}

// run runs the relay. stop ends the relay and waits until Run has returned.
func (s fixture) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.relay.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
}

func TestEachRoundHasOneEventOfEachUser(t *testing.T) {
	t.Parallel()
	s := newFixture(
		userEvent('a', 1), userEvent('a', 2), userEvent('b', 1), userEvent('a', 3), userEvent('c', 1), userEvent('b', 2))
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a1", "b1", "c1"}, {"a2", "b2"}, {"a3"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
	if _, waiting := s.store.count(); waiting != 0 || s.observer.published != 6 || s.observer.failed != 0 {
		t.Errorf("%d events wait and the observer got %+v, want none and 6 published events", waiting, s.observer)
	}
}

func TestAFailedEventDelaysOnlyEventsOfItsUser(t *testing.T) {
	t.Parallel()
	s := newFixture(
		userEvent('a', 1), userEvent('a', 2), userEvent('b', 1), userEvent('a', 3), userEvent('b', 2), userEvent('b', 3), userEvent('c', 1),
	)
	s.broker.refuse(func(e event.Event) bool { return label(e) == "a2" || label(e) == "c1" })
	if err := s.relay.Flush(t.Context()); err == nil { // not all events are published
		t.Error("Flush succeeds although not all events are published, want an error")
	}
	if diff := cmp.Diff([][]string{{"a1", "b1", "c1"}, {"a2", "b2"}, {"b3"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
	if s.observer.published != 4 || s.observer.failed != 2 {
		t.Errorf("%d published and %d failed, want 4 and 2", s.observer.published, s.observer.failed)
	}
	s.broker.refuse(nil)
	s.broker.rounds = nil
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a2", "c1"}, {"a3"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
}

func TestFlushTakesBatchAfterBatch(t *testing.T) {
	t.Parallel()
	s := newFixture()
	for n := range 1700 {
		s.store.add(userEvent(byte(n%7)+'a', int64(n/7)))
	}
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if attempts, waiting := s.store.count(); waiting != 0 || attempts < 2 {
		t.Errorf("%d events wait after %d batches, want none after at least 2", waiting, attempts)
	}
}

func TestFlushEndsWithTheDatabasesError(t *testing.T) {
	t.Parallel()
	s := newFixture(userEvent('a', 1))
	s.store.fail(outbox.ErrBusy)
	if err := s.relay.Flush(t.Context()); !errors.Is(err, outbox.ErrBusy) {
		t.Error(err)
	}
}

func TestARefusedEventIsDeferredWithItsUsersLaterEvents(t *testing.T) {
	t.Parallel()
	s := newFixture(
		userEvent('a', 1), userEvent('a', 2), userEvent('b', 1), userEvent('a', 3), userEvent('c', 1))
	s.broker.err = refusal{}
	s.broker.refuse(func(e event.Event) bool { return label(e) == "a1" })
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Errorf("a refused event is an error: %v", err)
	}
	if diff := cmp.Diff([]time.Duration{time.Second, outbox.BlockedRetry, outbox.BlockedRetry}, s.store.deferred); diff != "" {
		t.Error(diff)
	}
	if s.observer.published != 2 || s.observer.failed != 1 {
		t.Errorf("%d published and %d failed, want 2 and 1", s.observer.published, s.observer.failed)
	}
}

func TestTheDelaysOfARefusedEventGrow(t *testing.T) {
	t.Parallel()
	e := userEvent('a', 1)
	s := newFixture(e)
	s.broker.err = refusal{}
	s.broker.refuse(func(event.Event) bool { return true })
	for n := range outbox.MaxRefusals + 1 {
		s.store.refusals = map[uuid.UUID]int{e.ID: n}
		if err := s.relay.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var seconds []int
	for _, d := range s.store.deferred {
		seconds = append(seconds, int(d.Seconds()))
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 600, 600}, seconds); diff != "" {
		t.Error(diff)
	}
}

// TestARefusedEventIsSentSeparately publishes a batch with an event that was refused before. The event must not be sent together with
// others, because they could lose their confirms.
func TestARefusedEventIsSentSeparately(t *testing.T) {
	t.Parallel()
	refused := userEvent('b', 1)
	s := newFixture(userEvent('a', 1), refused, userEvent('c', 1), userEvent('b', 2))
	s.store.refusals = map[uuid.UUID]int{refused.ID: 3}
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a1", "c1"}, {"b1"}, {"b2"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
}

// TestNothingIsPublishedAfterAFailedRemoval lets the removal of published events fail several times. The relay must publish nothing until
// the removal succeeds.
func TestNothingIsPublishedAfterAFailedRemoval(t *testing.T) {
	t.Parallel()
	s := newFixture(userEvent('a', 1), userEvent('b', 1))
	s.store.removal = errors.New("permission denied")
	for range 5 {
		if err := s.relay.Flush(t.Context()); !errors.Is(err, s.store.removal) {
			t.Errorf("the error is %v", err)
		}
	}
	if diff := cmp.Diff([][]string{{"a1", "b1"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
	s.store.add(userEvent('a', 2))
	s.store.removal = nil
	if err := s.relay.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a1", "b1"}, {"a2"}}, s.broker.rounds); diff != "" {
		t.Error(diff)
	}
}
