package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	amqp "github.com/rabbitmq/amqp091-go"
)

// prefetch is how many messages the broker sends ahead of the acknowledgements.
const prefetch = 100

var errConsumerCanceled = errors.New("the broker canceled the consumer")

// Subscription says which events Tail listens to and what it does with them.
type Subscription struct {
	// BindingKey chooses the events by type; "*" stands for one word, "#" for any number.
	BindingKey string
	// Handle is called with one event after the other. An error ends Tail.
	Handle func(body []byte, routingKey string) error
	// Waiting, if not nil, is called whenever Tail has (re)connected: from then on no event is missed.
	Waiting func()
}

// Tail hands the events that are published from now on to sub.Handle, until ctx ends (it then
// returns nil) or Handle returns an error, which it returns. It listens with a queue of its own that goes
// away with the connection. A connection that is lost is logged and replaced; events of the
// time in between are missed.
func Tail(ctx context.Context, cfg Config, log *slog.Logger, sub Subscription) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var deliveries <-chan amqp.Delivery
	connect := func(ctx context.Context) (*session, error) {
		return open(ctx, cfg, product+" events tail", log, func(channel *amqp.Channel) (err error) {
			deliveries, err = sub.consume(channel)
			return err
		})
	}
	var failure error
	stayConnected(ctx, log, connect, func(s *session) {
		if sub.Waiting != nil {
			sub.Waiting()
		}
		if failure = sub.handleAll(ctx, deliveries); failure != nil {
			cancel() // which closes the session
		}
		if ctx.Err() == nil {
			s.endConsumer(ctx)
		}
	})
	return failure
}

// endConsumer ends a session that gets no more deliveries.
func (s *session) endConsumer(ctx context.Context) {
	cause := errConsumerCanceled
	if s.channel.IsClosed() {
		cause = s.closedChannel(ctx, s.channel)
	}
	s.end(cause)
}

// consume makes the queue and binds it.
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

// handleAll returns nil when ctx ends or there are no more deliveries, and Handle's error.
func (sub Subscription) handleAll(ctx context.Context, deliveries <-chan amqp.Delivery) error {
	for delivery := range deliveries {
		if ctx.Err() != nil {
			return nil
		}
		if err := sub.Handle(delivery.Body, delivery.RoutingKey); err != nil {
			return err
		}
		_ = delivery.Ack(false) // without a connection there is nothing to acknowledge to
	}
	return nil
}
