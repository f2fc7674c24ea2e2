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

// TestTheBrokerRejectsSomeOfMany publishes events of which some close the channel: they are found, the others arrive, and
// the connection stays.
func TestTheBrokerRejectsSomeOfMany(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newMouthpiece(t, broker(t))
	seen := &observer{}
	p := start(t, cfg, seen)
	events := newEvents(t, typ, 60)
	bad := map[int]bool{0: true, 1: true, 30: true, 59: true}
	var good []event.Event
	for i := range events {
		if bad[i] {
			events[i].Data = tooLarge
		} else {
			good = append(good, events[i])
		}
	}

	for range 2 { // the second time is as good as the first one
		for i, err := range p.Publish(t.Context(), events) {
			if bad[i] != errors.Is(err, rabbitmq.ErrRejected) || !bad[i] && err != nil {
				t.Errorf("event %d: %v", i, err)
			}
		}
	}

	testkit.WaitFor(t, "every good event", func() bool { return len(arrived.firstArrivals()) == len(good) })
	if diff := cmp.Diff(ids(good), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were needed, want one", n)
	}
	if n := seen.snapshot().nacked; n != 2*len(bad) {
		t.Errorf("the observer was told of %d refusals, want %d", n, 2*len(bad))
	}
}

// closeChannel is the method channel.close, which the broker says during a basic.publish.
func closeChannel(code uint16, text string) string {
	return "\x00\x14\x00\x28" + string(binary.BigEndian.AppendUint16(nil, code)) + string([]byte{byte(len(text))}) + text + "\x00\x3c\x00\x28"
}

// TestAnotherReasonIsNotARejection closes the channel for a reason that no event is to blame for, while one event waits for
// its confirm.
func TestAnotherReasonIsNotARejection(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]string{
		"an exchange that is missing":             closeChannel(amqp.NotFound, "NOT_FOUND - no exchange 'user_events' in vhost '/'"),
		"no right to write to the whole exchange": closeChannel(amqp.AccessRefused, "ACCESS_REFUSED - access to exchange 'user_events' in vhost '/' refused for user 'app'"),
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

// TestATopicThatIsForbiddenIsARejection lets the broker refuse one topic, in the words of RabbitMQ.
func TestATopicThatIsForbiddenIsARejection(t *testing.T) {
	t.Parallel()
	method := closeChannel(amqp.AccessRefused, "ACCESS_REFUSED - access to topic 'x' in exchange 'user_events' in vhost '/' refused for user 'app'")
	if err := publishToABrokerThatCloses(t, method); !errors.Is(err, rabbitmq.ErrRejected) {
		t.Errorf("the event's error is %v, want ErrRejected", err)
	}
}

// publishToABrokerThatCloses publishes an event, and lets the broker close the channel when it has read it.
func publishToABrokerThatCloses(t *testing.T, method string) error {
	t.Helper()
	network, cfg := newMouthpiece(t, broker(t))
	p := start(t, cfg, nil)
	hear := network.goDeaf(t)
	said := network.said()
	failed := make(chan error, 1)
	go func() { failed <- p.Publish(t.Context(), newEvents(t, randomType(), 1))[0] }()
	testkit.WaitFor(t, "the event", func() bool { return network.said() > said })
	network.say(t, 1, method)
	defer hear()
	return <-failed
}

// TestTailComesBackAfterARejection closes the channel of a consumer for the reason with which RabbitMQ closes that of one
// that acknowledges too late.
func TestTailComesBackAfterARejection(t *testing.T) {
	t.Parallel()
	network, cfg := newMouthpiece(t, broker(t))
	connected := make(chan struct{}, 8)
	background(t, func(ctx context.Context) error {
		return rabbitmq.Tail(ctx, cfg, slog.New(slog.DiscardHandler), rabbitmq.Subscription{
			BindingKey: string(randomType()), Waiting: func() { connected <- struct{}{} },
		})
	})
	<-connected
	hear := network.goDeaf(t)
	network.say(t, 1, closeChannel(amqp.PreconditionFailed, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"))
	hear()
	<-connected
}
