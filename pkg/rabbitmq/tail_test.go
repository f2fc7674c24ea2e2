package rabbitmq_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// background runs f until the test ends or stop is called. stop waits for its end.
func background(t testing.TB, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		t.Helper()
		cancel()
		if stopped.Swap(true) {
			return
		}
		if err := testkit.Receive(t, "the end", done); err != nil {
			t.Errorf("ended with %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

type tailedEvent struct{ key, body string }

func TestTailContinuesAfterALostConnection(t *testing.T) {
	t.Parallel()
	word := "test." + uuid.NewString()
	proxy, cfg := proxied(t, broker(t))
	p := start(t, broker(t), nil)
	var connects atomic.Int32
	events := make(chan tailedEvent, 10)
	stop := background(t, func(ctx context.Context) error {
		return rabbitmq.Tail(ctx, cfg, slog.New(slog.DiscardHandler), rabbitmq.Subscription{
			BindingKey: word + ".*",
			Handle:     func(body []byte, key string) error { events <- tailedEvent{key, string(body)}; return nil },
			Connected:  func() { connects.Add(1) },
		})
	})

	for round := range int32(2) {
		testkit.WaitFor(t, "the connect of Tail", func() bool { return connects.Load() == round+1 })
		for _, typ := range []event.Type{event.Type(word + ".a"), event.Type(word + ".b.c"), event.Type(word + ".d")} {
			sent := newEvents(t, typ, 1)
			noErrors(t, p.Publish(t.Context(), sent))
			if typ == event.Type(word+".b.c") { // two words, which "*" does not match
				continue
			}
			body, _ := sent[0].CloudEvent()
			if diff := cmp.Diff(tailedEvent{string(typ), string(body)}, receive(t, events),
				cmp.AllowUnexported(tailedEvent{})); diff != "" {
				t.Errorf("round %d (-want +got):\n%s", round, diff)
			}
		}
		proxy.Stop()
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
}

// TestTailAcknowledgesEvents publishes more events than prefetch, because without acknowledgements the broker would send only that
// many.
func TestTailAcknowledgesEvents(t *testing.T) {
	t.Parallel()
	typ := randomType()
	p := start(t, broker(t), nil)
	connected := make(chan struct{}, 1)
	bodies := make(chan string, 300)
	background(t, func(ctx context.Context) error {
		return rabbitmq.Tail(ctx, broker(t), slog.New(slog.DiscardHandler), rabbitmq.Subscription{
			BindingKey: string(typ),
			Handle:     func(body []byte, _ string) error { bodies <- string(body); return nil },
			Connected:  func() { connected <- struct{}{} },
		})
	})
	receive(t, connected)
	events := newEvents(t, typ, 300)
	noErrors(t, p.Publish(t.Context(), events))
	for i, e := range events {
		want, _ := e.CloudEvent()
		if got := receive(t, bodies); got != string(want) {
			t.Fatalf("event %d is %s, want %s", i, got, want)
		}
	}
}

func TestTailEndsWithTheHandlersError(t *testing.T) {
	t.Parallel()
	typ := randomType()
	p := start(t, broker(t), nil)
	errClosed := errors.New("standard output is closed")
	connected := make(chan struct{}, 1)
	result := make(chan error, 1)
	go func() {
		result <- rabbitmq.Tail(context.Background(), broker(t), slog.New(slog.DiscardHandler), rabbitmq.Subscription{
			BindingKey: string(typ),
			Handle:     func([]byte, string) error { return errClosed },
			Connected:  func() { connected <- struct{}{} },
		})
	}()

	receive(t, connected)
	noErrors(t, p.Publish(t.Context(), newEvents(t, typ, 3)))
	if err := receive(t, result); !errors.Is(err, errClosed) {
		t.Errorf("Tail returned %v, want %v", err, errClosed)
	}
}

// receive waits for the next value.
func receive[T any](t *testing.T, values <-chan T) T {
	t.Helper()
	return testkit.Receive(t, "a value", values)
}
