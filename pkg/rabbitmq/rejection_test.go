package rabbitmq_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// TestTheBrokerRejectsSomeOfMany publishes events, some of which close the channel. These events are rejected, the others arrive, and
// the connection is kept.
func TestTheBrokerRejectsSomeOfMany(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newFakeBroker(t, broker(t))
	observed := &observer{}
	p := start(t, cfg, observed)
	events := newEvents(t, typ, 60)
	rejected := map[int]bool{0: true, 1: true, 30: true, 59: true}
	var accepted []event.Event
	for i := range events {
		if rejected[i] {
			events[i].Data = tooLarge
		} else {
			accepted = append(accepted, events[i])
		}
	}

	for range 2 {
		for i, err := range p.Publish(t.Context(), events) {
			if rejected[i] != errors.Is(err, rabbitmq.ErrRejected) || !rejected[i] && err != nil {
				t.Errorf("event %d: %v", i, err)
			}
		}
	}

	testkit.WaitFor(t, "every accepted event", func() bool { return len(arrived.firstArrivals()) == len(accepted) })
	if diff := cmp.Diff(ids(accepted), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were opened, want 1", n)
	}
	if n := observed.snapshot().nacked; n != 2*len(rejected) {
		t.Errorf("the observer got %d refusals, want %d", n, 2*len(rejected))
	}
}

// closeChannel returns the method channel.close of a broker that rejects a basic.publish.
func closeChannel(code uint16, text string) string {
	return "\x00\x14\x00\x28" + string(binary.BigEndian.AppendUint16(nil, code)) + string([]byte{byte(len(text))}) +
		text + "\x00\x3c\x00\x28"
}

// TestAnotherReasonIsNotARejection closes the channel while an event is unconfirmed, for a reason that affects all events.
func TestAnotherReasonIsNotARejection(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]string{
		"a missing exchange": closeChannel(amqp.NotFound, "NOT_FOUND - no exchange 'user_events' in vhost '/'"),
		"no permission to write to the exchange": closeChannel(amqp.AccessRefused,
			"ACCESS_REFUSED - access to exchange 'user_events' in vhost '/' refused for user 'app'"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := publishToABrokerThatCloses(t, method)
			if errors.Is(err, rabbitmq.ErrRejected) || err == nil {
				t.Errorf("the event's error is %v", err)
			}
		})
	}
}

// TestATopicThatIsForbiddenIsARejection uses RabbitMQ's message for a topic without write permission.
func TestATopicThatIsForbiddenIsARejection(t *testing.T) {
	t.Parallel()
	method := closeChannel(amqp.AccessRefused,
		"ACCESS_REFUSED - access to topic 'x' in exchange 'user_events' in vhost '/' refused for user 'app'")
	if err := publishToABrokerThatCloses(t, method); !errors.Is(err, rabbitmq.ErrRejected) {
		t.Errorf("the event's error is %v, want ErrRejected", err)
	}
}

// publishToABrokerThatCloses publishes an event to a broker that then closes the channel, and returns its error.
func publishToABrokerThatCloses(t *testing.T, method string) error {
	t.Helper()
	network, cfg := newFakeBroker(t, broker(t))
	p := start(t, cfg, nil)
	resume := network.stopReading(t)
	before := network.received()
	failed := make(chan error, 1)
	go func() { failed <- p.Publish(t.Context(), newEvents(t, randomType(), 1))[0] }()
	testkit.WaitFor(t, "the event", func() bool { return network.received() > before })
	network.inject(t, 1, method)
	defer resume()
	return <-failed
}

// TestTailContinuesAfterARejection closes the channel of a consumer as RabbitMQ does after a late acknowledgement.
func TestTailContinuesAfterARejection(t *testing.T) {
	t.Parallel()
	network, cfg := newFakeBroker(t, broker(t))
	connected := make(chan struct{}, 8)
	background(t, func(ctx context.Context) error {
		return rabbitmq.Tail(ctx, cfg, slog.New(slog.DiscardHandler), rabbitmq.Subscription{
			BindingKey: string(randomType()), Connected: func() { connected <- struct{}{} },
		})
	})
	<-connected
	resume := network.stopReading(t)
	network.inject(t, 1, closeChannel(amqp.PreconditionFailed, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"))
	resume()
	<-connected
}
