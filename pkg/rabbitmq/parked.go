package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ParkedMessage describes a parked message without its body, which may contain secrets.
type ParkedMessage struct {
	ID       string // the id of the event
	Type     string // the type of the event
	ParkedAt string // RFC 3339. Empty: the broker has parked the message, after too many deliveries.
	First    string // The time of the first attempt.
	Attempts int64
	Reason   string
}

// Parked returns the parked messages of a queue, oldest first. The messages stay parked. Errors: the broker does not answer, the queue does
// not exist.
func Parked(ctx context.Context, broker Broker, q Queue, log *slog.Logger) ([]ParkedMessage, error) {
	var list []ParkedMessage
	err := q.openParked(ctx, broker, log, func(_ *session, _ *inbox, delivery amqp.Delivery) error {
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

// RetryParked moves the parked messages of a queue back to the queue, and returns how many it has moved. Errors: the broker does not
// answer, the queue does not exist. After an error a message may be in both queues.
func RetryParked(ctx context.Context, broker Broker, q Queue, log *slog.Logger) (moved int, err error) {
	err = q.openParked(ctx, broker, log, func(s *session, in *inbox, delivery amqp.Delivery) error {
		if err := in.move(ctx, s, delivery, q.Name, historyOf(delivery).headers); err != nil {
			return fmt.Errorf("move a message: %w", err)
		}
		moved++
		return delivery.Ack(false)
	})
	return moved, err
}

// openParked opens a session, and calls handle for each message that is parked at this moment.
func (q Queue) openParked(
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
	defer s.close() // the broker then requeues the messages that were not acknowledged
	return q.eachParked(ctx, in.channel, func(delivery amqp.Delivery) error { return handle(s, in, delivery) })
}

// eachParked calls handle for each message that is parked at this moment. If handle does not acknowledge a message, the broker requeues it
// when the channel is closed.
func (q Queue) eachParked(ctx context.Context, channel *amqp.Channel, handle func(amqp.Delivery) error) error {
	found, err := channel.QueueDeclarePassive(q.parked(), true, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("find the queue %s: %w", q.parked(), err)
	}
	for range found.Messages {
		delivery, ok, err := channel.Get(q.parked(), false)
		if err != nil {
			return fmt.Errorf("read the queue %s: %w", q.parked(), err)
		}
		if !ok || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := handle(delivery); err != nil {
			return err
		}
	}
	return nil
}

// sweepInterval is the time between two checks for obsolete parked messages.
const sweepInterval = time.Hour

// sweep removes obsolete parked messages until ctx or the session ends.
func (c *Consumer) sweep(ctx context.Context, s *session) {
	if c.cfg.Obsolete == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the session
		<-s.lost
		cancel()
	}()
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		if err := c.sweepOnce(ctx, s); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("the parked messages can't be checked; trying again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *Consumer) sweepOnce(ctx context.Context, s *session) error {
	channel, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = channel.Close() }()
	removed := 0
	err = c.queue.eachParked(ctx, channel, func(delivery amqp.Delivery) error {
		if obsolete, err := c.cfg.Obsolete(ctx, delivery.Body); err != nil || !obsolete {
			return err
		}
		removed++
		return delivery.Ack(false)
	})
	if removed > 0 {
		c.cfg.Log.Info("removed obsolete parked messages", "messages", removed)
	}
	return err
}
