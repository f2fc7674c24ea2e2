package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ParkedMessage describes a parked message without its body, which may contain secrets.
type ParkedMessage struct {
	ID       string // of the event
	Type     string // of the event
	ParkedAt string // RFC 3339. Empty: the broker has parked the message, after too many deliveries.
	First    string // The time of the first attempt.
	Attempts int64
	Reason   string
}

// Parked returns the parked messages of a queue, oldest first. They stay parked. Errors: no broker, no such queue.
func Parked(ctx context.Context, broker Broker, q Queue, log *slog.Logger) ([]ParkedMessage, error) {
	var list []ParkedMessage
	err := q.eachParked(ctx, broker, log, func(_ *session, _ *inbox, delivery amqp.Delivery) error {
		m := ParkedMessage{ID: delivery.MessageId, Type: delivery.Type}
		m.ParkedAt, _ = delivery.Headers[headerParkedAt].(string)
		m.First, _ = delivery.Headers[headerParkedFirst].(string)
		m.Reason, _ = delivery.Headers[headerParkedReason].(string)
		m.Attempts, _ = delivery.Headers[headerParkedAttempts].(int64)
		list = append(list, m)
		return nil
	})
	return list, err
}

// RetryParked moves the parked messages of a queue back to it, and returns how many. Errors: no broker, no such queue. After an error a
// message may be in both queues.
func RetryParked(ctx context.Context, broker Broker, q Queue, log *slog.Logger) (moved int, err error) {
	err = q.eachParked(ctx, broker, log, func(s *session, in *inbox, delivery amqp.Delivery) error {
		if err := in.move(ctx, s, delivery, q.Name, historyOf(delivery).headers); err != nil {
			return fmt.Errorf("move a message: %w", err)
		}
		moved++
		return delivery.Ack(false)
	})
	return moved, err
}

// eachParked calls handle for each message that is parked now. A message that handle does not acknowledge stays parked.
func (q Queue) eachParked(
	ctx context.Context, broker Broker, log *slog.Logger, handle func(*session, *inbox, amqp.Delivery) error,
) error {
	var in *inbox
	s, err := open(ctx, broker, productName+" "+q.parked(), log, func(channel *amqp.Channel) error {
		in = &inbox{channel: channel, returns: channel.NotifyReturn(make(chan amqp.Return, 1))}
		return channel.Confirm(false)
	})
	if err != nil {
		return err
	}
	defer s.close() // which returns the messages to the queue
	found, err := in.channel.QueueDeclarePassive(q.parked(), true, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("find the queue %s: %w", q.parked(), err)
	}
	for range found.Messages {
		delivery, ok, err := in.channel.Get(q.parked(), false)
		if err != nil {
			return fmt.Errorf("read the queue %s: %w", q.parked(), err)
		}
		if !ok || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := handle(s, in, delivery); err != nil {
			return err
		}
	}
	return nil
}
