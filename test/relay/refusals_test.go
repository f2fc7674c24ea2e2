package relay_test

import (
	"slices"
	"testing"
	"time"

	"user-service/pkg/outbox"
)

// TestAFullQueueDoesNotAffectAHealthyQueue publishes events of 20 users, which the queue of one consumer refuses. Meanwhile another
// consumer must get the events of other users. When the refusals end, all events must arrive in order.
func TestAFullQueueDoesNotAffectAHealthyQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	healthy := w.consume()
	heal := w.refuse("poison")
	w.run()
	users := w.users(20)
	bad := w.announce("poison", 10, users...)
	behind := w.announce("fine", 10, users...)
	other := w.announce("fine", 10, w.users(20)...)
	w.eventually("the events of others", func() bool { return healthy.has(other...) })
	w.eventually("three refusals of each", func() bool { return w.count(`SELECT count(*) FROM outbox WHERE refusals >= 3`) == len(bad) })
	if n := healthy.copies(bad...); n > 4 {
		t.Errorf("the healthy queue got %d copies of an event after 3 refusals, want at most 4", n)
	}
	if healthy.copies(behind...) > 0 {
		t.Error("an event arrived before an earlier event that is refused")
	}

	heal()
	w.eventually("an empty outbox", func() bool { return w.count(`SELECT count(*) FROM outbox`) == 0 })
	w.eventually("all events", func() bool { return healthy.has(bad...) && healthy.has(behind...) })
	for i := range bad {
		if slices.Index(healthy.order, behind[i]) < slices.Index(healthy.order, bad[i]) {
			t.Errorf("the events of user %d arrived in the wrong order", i)
		}
	}
}

// Test500RefusedEventsDelayNoOther measures the delivery time of other users' events. It measures without refused events, with 500 refused
// events, with 500 parked events, and while the parked events are retried.
func Test500RefusedEventsDelayNoOther(t *testing.T) {
	t.Parallel()
	const events = 100
	w := newWorld(t)
	healthy := w.consume()
	heal := w.refuse("poison")
	w.run()
	users, others := w.users(500), w.users(20)
	usual, longest := w.times(healthy, events, others)
	t.Logf("without refused events: median %s, longest %s", usual, longest)
	check := func(when string) {
		median, longest := w.times(healthy, events, others)
		t.Logf("%s: median %s, longest %s", when, median, longest)
		if median > 5*usual+20*time.Millisecond || longest > 10*time.Second {
			t.Errorf("%s, events of other users take %s (median) and %s (maximum)", when, median, longest)
		}
	}

	bad := w.announce("poison", 10, users...)
	check("with 500 refused events")
	w.eventually("the first refusal of each", func() bool { return w.count(`SELECT count(*) FROM outbox WHERE refusals > 0`) == len(bad) })
	if _, err := w.conn.Exec(t.Context(), `UPDATE outbox SET refusals = $1, retry_at = now()`, outbox.MaxRefusals-1); err != nil {
		t.Fatal(err)
	}
	w.eventually("500 parked events", func() bool { return w.count(`SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL`) == len(bad) })
	check("with 500 parked events")
	copies := healthy.copies(bad...)
	if _, err := w.db.RetryEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("while 500 events are retried")
	if n := healthy.copies(bad...); n > copies+1 {
		t.Errorf("one retry caused %d copies of an event, want at most 1", n-copies)
	}
	w.eventually("the end of the retries", func() bool { return w.count(`SELECT count(*) FROM outbox WHERE retry_at <= now()`) == 0 })

	heal()
	if _, err := w.db.RetryEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("an empty outbox", func() bool { return w.count(`SELECT count(*) FROM outbox`) == 0 })
	w.eventually("all events", func() bool { return healthy.has(bad...) })
}

// TestAnEventThatIsTooLargeForTheBrokerDelaysNoOther publishes 20 events over the broker's max_message_size, and
// checks that they are parked after the last attempt.
func TestAnEventThatIsTooLargeForTheBrokerDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	healthy := w.consume()
	users, others := w.users(20), w.users(20)
	large := w.announce("fine", 600<<10, users...)
	fine := w.announce("fine", 10, append(others, users...)...)
	w.run()
	w.eventually("the events of others", func() bool { return healthy.has(fine[:len(others)]...) })
	w.eventually("a refusal of each", func() bool { return w.count(`SELECT count(*) FROM outbox WHERE refusals > 0`) == len(large) })
	notDelayed := func(when string) { // the longest time is not checked: 20 events that each close the channel take seconds
		median, longest := w.times(healthy, 50, others)
		t.Logf("%s: median %s, longest %s", when, median, longest)
		if median > time.Second {
			t.Errorf("%s, an event of another user takes %s (median)", when, median)
		}
	}
	notDelayed("with refused events")
	if n := healthy.copies(fine[:len(others)]...); n > 1 {
		t.Errorf("another user's event arrived %d times, want at most once", n)
	}
	if n := healthy.copies(append(large, fine[len(others):]...)...); n > 0 {
		t.Error("an event arrived although the user's first event is refused, want none")
	}

	const lastAttempt = `UPDATE outbox SET refusals = $1, retry_at = now() WHERE refusals > 0`
	if _, err := w.conn.Exec(t.Context(), lastAttempt, outbox.MaxRefusals-1); err != nil {
		t.Fatal(err)
	}
	w.eventually("each large event parked", func() bool {
		return w.count(`SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL`) == len(large)
	})
	parked, err := w.db.ParkedEvents(t.Context(), 0, len(large)+1)
	if err != nil || len(parked) != len(large) {
		t.Errorf("%d events are listed as parked (%v), want %d", len(parked), err, len(large))
	}
	notDelayed("with parked events")
	if n := healthy.copies(fine[:len(others)]...); n > 1 {
		t.Errorf("after the parking, another user's event arrived %d times, want at most once", n)
	}
	if n := healthy.copies(append(large, fine[len(others):]...)...); n > 0 {
		t.Error("an event arrived although the user's first event is parked, want none")
	}
}

// TestAnUnavailableBrokerRefusesNothing tries to publish without a broker. No event may count as refused, be deferred or be parked.
func TestAnUnavailableBrokerRefusesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	healthy := w.consume()
	ids := w.announce("fine", 10, w.users(600)...)
	relay := w.unconnected()
	for range 30 {
		if err := relay.Flush(t.Context()); err == nil {
			t.Fatal("Flush returns no error without a broker, want one")
		}
	}
	if n := w.count(`SELECT count(*) FROM outbox WHERE refusals > 0 OR retry_at IS NOT NULL OR parked_at IS NOT NULL`); n > 0 {
		t.Errorf("%d events are refused, deferred or parked, want none", n)
	}
	w.run()
	w.eventually("all events", func() bool { return healthy.has(ids...) })
}
