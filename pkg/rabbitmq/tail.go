package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetch is the maximum number of messages that the broker sends before they are acknowledged.
const prefetch = 100

var errConsumerCanceled = errors.New("the broker canceled the consumer")

// Subscription selects events for Tail, and handles them.
type Subscription struct {
	// BindingKey matches types of events. "*" matches one word, and "#" any number of words.
	BindingKey string
	// Handle is called for one event after another. An error ends Tail.
	Handle func(body []byte, routingKey string) error
	// Connected is called after each connect: from then on no event is missed. It may be nil.
	Connected func()
}

// Tail calls sub.Handle for the events that are published from now on. It returns nil when ctx ends, or the error of Handle. Its queue is
// deleted with the connection. A lost connection is logged and replaced, and the events in between are missed.
func Tail(ctx context.Context, broker Broker, log *slog.Logger, sub Subscription) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var deliveries <-chan amqp.Delivery
	connect := func(ctx context.Context) (*session, error) {
		return open(ctx, broker, productName+" events tail", log, func(channel *amqp.Channel) (err error) {
			deliveries, err = sub.consume(channel)
			return err
		})
	}
	var failure error
	stayConnected(ctx, log, connect, func(s *session) {
		if sub.Connected != nil {
			sub.Connected()
		}
		if failure = sub.handleAll(ctx, deliveries); failure != nil {
			cancel() // closes the session
		}
		if ctx.Err() == nil {
			s.endConsumer(ctx)
		}
	})
	return failure
}

// endConsumer ends a session after its deliveries have ended.
func (s *session) endConsumer(ctx context.Context) {
	cause := errConsumerCanceled
	if s.channel.IsClosed() {
		cause = s.closedChannel(ctx, s.channel)
	}
	s.end(cause)
}

// consume declares and binds a queue, and consumes it.
func (sub Subscription) consume(channel *amqp.Channel) (<-chan amqp.Delivery, error) {
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return nil, fmt.Errorf("limit the prefetch: %w", err)
	}
	const durable, autoDelete, exclusive, noWait = false, true, true, false
	queue, err := channel.QueueDeclare("", durable, autoDelete, exclusive, noWait, nil)
	if err != nil {
		return nil, fmt.Errorf("declare a queue: %w", err)
	}
	if err := channel.QueueBind(queue.Name, sub.BindingKey, Exchange, noWait, nil); err != nil {
		return nil, fmt.Errorf("bind the queue: %w", err)
	}
	const autoAck, noLocal = false, false
	deliveries, err := channel.Consume(queue.Name, "", autoAck, exclusive, noLocal, noWait, nil)
	if err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	return deliveries, nil
}

// handleAll handles the deliveries until they or ctx end. Errors: the error of Handle.
func (sub Subscription) handleAll(ctx context.Context, deliveries <-chan amqp.Delivery) error {
	for delivery := range deliveries {
		if ctx.Err() != nil {
			return nil
		}
		if err := sub.Handle(delivery.Body, delivery.RoutingKey); err != nil {
			return err
		}
		_ = delivery.Ack(false) // fails only if the connection is lost
	}
	return nil
}
