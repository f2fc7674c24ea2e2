package rabbitmq_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestPublishedMessage(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	observed := &observer{}
	p := start(t, broker(t), observed)
	events := newEvents(t, typ, 2)
	events[0].Traceparent = traceparent

	noErrors(t, p.Publish(t.Context(), events))

	testkit.WaitFor(t, "two messages", func() bool { return len(arrived.received()) == 2 })
	for i, got := range arrived.received() {
		body, err := events[i].CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		want := amqp.Delivery{
			ContentType:  "application/cloudevents+json",
			DeliveryMode: 2,
			MessageId:    events[i].ID.String(),
			Timestamp:    events[i].Time.Truncate(time.Second),
			Type:         string(typ),
			AppId:        "user-service",
			Exchange:     "user_events",
			RoutingKey:   string(typ),
			Headers:      amqp.Table{"subject": events[i].Subject.String()},
			Body:         body,
		}
		if i == 0 {
			want.Headers["traceparent"] = traceparent
		}
		got.Acknowledger, got.ConsumerTag, got.DeliveryTag = nil, "", 0
		if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i, diff)
		}
	}
	if got := observed.snapshot(); len(got.confirmed) != 2 || len(got.returned)+got.nacked > 0 {
		t.Errorf("the observer got %+v, want two confirms and nothing else", got)
	}
}

func TestEventsArriveInOrder(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	p := start(t, broker(t), nil)
	events := newEvents(t, typ, 1000)

	noErrors(t, p.Publish(t.Context(), events))

	testkit.WaitFor(t, "all events", func() bool { return len(arrived.received()) == len(events) })
	if diff := cmp.Diff(ids(events), arrived.firstArrivals()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestPublishFromManyGoroutines(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 50
	typ := randomType()
	arrived := consume(t, typ)
	p := start(t, broker(t), nil)

	var wg sync.WaitGroup
	batches := make([][]event.Event, callers)
	for i := range batches {
		batches[i] = newEvents(t, typ, each)
		wg.Go(func() {
			for _, err := range p.Publish(t.Context(), batches[i]) {
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()

	testkit.WaitFor(t, "all events", func() bool { return len(arrived.received()) == callers*each })
	position := make(map[string]int)
	for i, id := range arrived.firstArrivals() {
		position[id] = i
	}
	for i, batch := range batches {
		for j := 1; j < each; j++ {
			if position[batch[j-1].ID.String()] >= position[batch[j].ID.String()] {
				t.Errorf("caller %d: event %d arrived before its predecessor", i, j)
			}
		}
	}
}

func TestUnroutableIsCountedAsPublished(t *testing.T) {
	t.Parallel()
	typ := randomType()
	observed := &observer{}
	p := start(t, broker(t), observed)

	noErrors(t, p.Publish(t.Context(), newEvents(t, typ, 3)))

	testkit.WaitFor(t, "the returns", func() bool { return len(observed.snapshot().returned) == 3 })
	if diff := cmp.Diff([]string{string(typ), string(typ), string(typ)}, observed.snapshot().returned); diff != "" {
		t.Errorf("returned (-want +got):\n%s", diff)
	}
}

func TestOnlyRefusedEventsFail(t *testing.T) {
	t.Parallel()
	full, roomy := randomType(), randomType()
	declare(t, dial(t), full, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	arrived := consume(t, roomy)
	observed := &observer{}
	p := start(t, broker(t), observed)
	toFull, toRoomy := newEvents(t, full, 3), newEvents(t, roomy, 2)

	errs := p.Publish(t.Context(), []event.Event{toFull[0], toFull[1], toRoomy[0], toFull[2], toRoomy[1]})

	want := []error{nil, rabbitmq.ErrNacked, nil, rabbitmq.ErrNacked, nil}
	for i := range want {
		if !errors.Is(errs[i], want[i]) {
			t.Errorf("event %d: error %v, want %v", i, errs[i], want[i])
		}
	}
	testkit.WaitFor(t, "the others", func() bool { return len(arrived.received()) == 2 })
	if got := observed.snapshot(); got.nacked != 2 || len(got.confirmed) != 3 {
		t.Errorf("the observer got %d refused and %d confirmed, want 2 and 3", got.nacked, len(got.confirmed))
	}
}

// tooLarge exceeds the max_message_size of tools/dev/services.
var tooLarge = json.RawMessage(`"` + strings.Repeat("x", 600<<10) + `"`)

func TestOnlyInvalidEventsFail(t *testing.T) {
	t.Parallel()
	for name, breakEvent := range map[string]func(*event.Event){
		"data that is not JSON":    func(e *event.Event) { e.Data = json.RawMessage(`{`) },
		"a body that is too large": func(e *event.Event) { e.Data = tooLarge },
		"a type that is too long":  func(e *event.Event) { e.Type = event.Type(strings.Repeat("x", 256)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := randomType()
			arrived := consume(t, typ)
			p := start(t, broker(t), nil)
			events := newEvents(t, typ, 3)
			breakEvent(&events[1])

			errs := p.Publish(t.Context(), events)

			if errs[0] != nil || errs[2] != nil {
				t.Errorf("errors of the valid events: %v, %v", errs[0], errs[2])
			}
			if !errors.Is(errs[1], rabbitmq.ErrRejected) {
				t.Errorf("error of the invalid event: %v, want ErrRejected", errs[1])
			}
			// There may be duplicates, because the channel was closed.
			testkit.WaitFor(t, "the valid events", func() bool { return len(arrived.firstArrivals()) == 2 })
			noErrors(t, p.Publish(t.Context(), events[:1])) // on the same connection
		})
	}
}

func TestNotConnected(t *testing.T) {
	t.Parallel()
	p := rabbitmq.New(broker(t), rabbitmq.Config{})
	events := newEvents(t, randomType(), 2)

	for i, err := range p.Publish(t.Context(), events) {
		if !errors.Is(err, rabbitmq.ErrNotConnected) {
			t.Errorf("event %d: error %v, want ErrNotConnected", i, err)
		}
	}
	if err := p.Check(t.Context()); !errors.Is(err, rabbitmq.ErrNotConnected) {
		t.Errorf("Check: %v, want ErrNotConnected", err)
	}
}

func TestPublishWithCanceledContext(t *testing.T) {
	t.Parallel()
	observed := &observer{}
	p := start(t, broker(t), observed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	for i, err := range p.Publish(ctx, newEvents(t, randomType(), 2)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("event %d: error %v, want context.Canceled", i, err)
		}
	}
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("the connection was closed: %v", err)
	}
	if diff := cmp.Diff([]bool{true}, observed.snapshot().connected); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
}

func TestPublishNothing(t *testing.T) {
	t.Parallel()
	p := start(t, broker(t), nil)
	for range 3 {
		if errs := p.Publish(t.Context(), nil); len(errs) != 0 {
			t.Errorf("errors for no events: %v", errs)
		}
	}
}

func noErrors(t testing.TB, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
}
