package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deliveryLimit is how often the broker delivers one message without an acknowledgement before it parks the message. A message that
// makes the process crash would otherwise be delivered forever.
const deliveryLimit = 100

// parkedLimit is the limit for parked messages, which an operator may list many times. By default, RabbitMQ 4 drops a message after 20
// deliveries.
const parkedLimit = 1 << 30

// moveTimeout bounds the move of a message to another queue.
const moveTimeout = 10 * time.Second

// The headers of a message that was handled before. Those of parked messages have other names, so that a message that an operator
// requeues begins anew.
const (
	headerAttempts = "x-attempts"
	headerFirst    = "x-first-attempt"
	headerReason   = "x-reason"

	headerParkedAttempts = "x-parked-attempts"
	headerParkedFirst    = "x-parked-first-attempt"
	headerParkedAt       = "x-parked-at"
	headerParkedReason   = "x-parked-reason"
)

// inbox has the messages for a Consumer on one channel.
type inbox struct {
	deliveries <-chan amqp.Delivery

	mu      sync.Mutex // held while a message is moved, so that a returned message is the one of the confirm
	channel *amqp.Channel
	returns <-chan amqp.Return
}

// consume declares the queues and consumes the first one.
func (q Queue) consume(channel *amqp.Channel, prefetch int) (*inbox, error) {
	if err := q.declare(channel); err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, fmt.Errorf("turn on confirms: %w", err)
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return nil, fmt.Errorf("limit the prefetch: %w", err)
	}
	in := &inbox{channel: channel, returns: channel.NotifyReturn(make(chan amqp.Return, 1))}
	const autoAck, exclusive, noLocal, noWait = false, false, false, false
	var err error
	if in.deliveries, err = channel.Consume(q.Name, "", autoAck, exclusive, noLocal, noWait, nil); err != nil {
		return nil, fmt.Errorf("consume %s: %w", q.Name, err)
	}
	return in, nil
}

// declare declares the queues and binds the first one. A message leaves a queue at its limit or after its time to live. The broker
// removes the message only after the next queue has confirmed it (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
func (q Queue) declare(channel *amqp.Channel) error {
	leaving := func(to string, more amqp.Table) amqp.Table {
		arguments := amqp.Table{
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": to,
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		}
		for name, value := range more {
			arguments[name] = value
		}
		return arguments
	}
	queues := []struct {
		name      string
		arguments amqp.Table
	}{
		{q.parked(), amqp.Table{"x-delivery-limit": int64(parkedLimit)}},
		{q.Name, leaving(q.parked(), amqp.Table{"x-delivery-limit": int64(deliveryLimit)})},
	}
	for _, delay := range q.Retries {
		queues = append(queues, struct {
			name      string
			arguments amqp.Table
		}{q.retry(delay), leaving(q.Name, amqp.Table{"x-message-ttl": delay.Milliseconds()})})
	}
	const durable, autoDelete, exclusive, noWait = true, false, false, false
	for _, queue := range queues {
		queue.arguments["x-queue-type"] = "quorum"
		if _, err := channel.QueueDeclare(queue.name, durable, autoDelete, exclusive, noWait, queue.arguments); err != nil {
			return fmt.Errorf("declare the queue %s: %w", queue.name, err)
		}
	}
	for _, typ := range q.Types {
		if err := channel.QueueBind(q.Name, typ, Exchange, noWait, nil); err != nil {
			return fmt.Errorf("bind the queue %s to %s: %w", q.Name, typ, err)
		}
	}
	return nil
}

// errReturned means that a queue no longer exists.
var errReturned = errors.New("the queue does not exist")

// move publishes a copy of a message to another queue, and waits for the broker's confirm.
func (in *inbox) move(ctx context.Context, s *session, delivery amqp.Delivery, queue string, headers amqp.Table) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), moveTimeout)
	defer cancel()
	in.mu.Lock()
	defer in.mu.Unlock()
	const exchange, mandatory, immediate = "", true, false
	confirmation, err := in.channel.PublishWithDeferredConfirmWithContext(ctx, exchange, queue, mandatory, immediate, amqp.Publishing{
		Headers: headers, ContentType: delivery.ContentType, ContentEncoding: delivery.ContentEncoding, DeliveryMode: amqp.Persistent,
		MessageId: delivery.MessageId, Timestamp: delivery.Timestamp, Type: delivery.Type, AppId: delivery.AppId, Body: delivery.Body,
	})
	if err != nil {
		return err
	}
	select {
	case <-confirmation.Done():
	case <-s.lost:
		return ErrConnectionLost
	case <-ctx.Done():
		return errNoResponse
	}
	if !confirmation.Acked() {
		return ErrNacked
	}
	select {
	case <-in.returns: // it comes before the confirm
		return errReturned
	default:
		return nil
	}
}

// history is what the headers of a message say about earlier attempts.
type history struct {
	attempts int
	first    time.Time // of the first attempt
	headers  amqp.Table
}

// historyOf reads the headers of a message. Unreadable headers count as missing.
func historyOf(delivery amqp.Delivery) history {
	h := history{first: time.Now(), headers: amqp.Table{}}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value, ok := delivery.Headers[name]; ok {
			h.headers[name] = value
		}
	}
	if attempts, ok := delivery.Headers[headerAttempts].(int64); ok && attempts > 0 {
		h.attempts = int(min(attempts, 1<<30))
	}
	text, _ := delivery.Headers[headerFirst].(string)
	if first, err := time.Parse(time.RFC3339, text); err == nil {
		h.first = first
	}
	return h
}

func (h history) age() time.Duration { return max(0, time.Since(h.first)) }

// again returns the headers for another attempt.
func (h history) again(reason string) amqp.Table {
	h.headers[headerAttempts] = int64(h.attempts + 1)
	h.headers[headerFirst] = h.first.UTC().Format(time.RFC3339)
	h.headers[headerReason] = reason
	return h.headers
}

// parked returns the headers of a parked message.
func (h history) parked(reason string) amqp.Table {
	h.headers[headerParkedAttempts] = int64(h.attempts + 1)
	h.headers[headerParkedFirst] = h.first.UTC().Format(time.RFC3339)
	h.headers[headerParkedAt] = time.Now().UTC().Format(time.RFC3339)
	h.headers[headerParkedReason] = reason
	return h.headers
}
