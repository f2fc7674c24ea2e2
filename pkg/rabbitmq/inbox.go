package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deliveryLimit is how often the broker delivers a message that is never acknowledged. Then it parks the message. Otherwise it would
// deliver a message that makes the process crash forever.
const deliveryLimit = 100

// parkedLimit is the delivery limit of parked messages. It is very large, because each time an operator lists the messages counts as a
// delivery. By default, RabbitMQ 4 drops a message after 20 deliveries.
const parkedLimit = 1 << 30

// Limits of the queue for parked messages. With them nobody can fill the broker's disk, and no personal data stays forever.
const (
	parkedTTL   = 30 * 24 * time.Hour
	parkedBytes = 64 << 20 // beyond this size, the broker drops the oldest messages
)

// moveTimeout bounds the move of a message to another queue.
const moveTimeout = 10 * time.Second

// The headers in which the Consumer stores the earlier attempts at a message. Parked messages have headers with other names. So a message
// that an operator requeues has no earlier attempts.
const (
	headerAttempts = "x-attempts"
	headerDeferred = "x-deferred" // how many attempts ended with Defer
	headerFirst    = "x-first-attempt"
	headerReason   = "x-reason"

	headerParkedAttempts = "x-parked-attempts"
	headerParkedFirst    = "x-parked-first-attempt"
	headerParkedAt       = "x-parked-at"
	headerParkedReason   = "x-parked-reason"
)

// inbox receives the messages for a Consumer on one channel.
type inbox struct {
	first, again <-chan amqp.Delivery // from the queues Queue.Name and Queue.again

	mu      sync.Mutex // held while a message is moved, so that a returned message is the one that is being moved
	channel *amqp.Channel
	returns <-chan amqp.Return
}

// consume declares the queues, and consumes the queue of first attempts and the queue of retries. first and again are their prefetch
// counts.
func (q Queue) consume(channel *amqp.Channel, first, again int) (in *inbox, err error) {
	if err := q.declare(channel); err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, fmt.Errorf("turn on confirms: %w", err)
	}
	in = &inbox{channel: channel, returns: channel.NotifyReturn(make(chan amqp.Return, 1))}
	if in.first, err = consume(channel, q.Name, first); err != nil {
		return nil, err
	}
	in.again, err = consume(channel, q.again(), again)
	return in, err
}

func consume(channel *amqp.Channel, queue string, prefetch int) (<-chan amqp.Delivery, error) {
	if err := channel.Qos(prefetch, 0, false); err != nil { // applies to the consumer that is started next
		return nil, fmt.Errorf("limit the prefetch: %w", err)
	}
	const autoAck, exclusive, noLocal, noWait = false, false, false, false
	deliveries, err := channel.Consume(queue, "", autoAck, exclusive, noLocal, noWait, nil)
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	return deliveries, nil
}

// declare declares the queues and binds the first one. After its delivery limit or its time to live, a message moves to the next queue. The
// broker removes it from the first queue only after the next queue has confirmed it
// (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
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
		{q.parked(), amqp.Table{
			"x-delivery-limit": int64(parkedLimit), "x-message-ttl": parkedTTL.Milliseconds(), "x-max-length-bytes": int64(parkedBytes),
		}},
		{q.Name, leaving(q.parked(), amqp.Table{"x-delivery-limit": int64(deliveryLimit)})},
		{q.again(), leaving(q.parked(), amqp.Table{"x-delivery-limit": int64(deliveryLimit)})},
	}
	for _, delay := range q.delays() {
		queues = append(queues, struct {
			name      string
			arguments amqp.Table
		}{q.delayed(delay), leaving(q.again(), amqp.Table{"x-message-ttl": delay.Milliseconds()})})
	}
	const durable, autoDelete, exclusive, noWait = true, false, false, false
	for _, queue := range queues {
		queue.arguments["x-queue-type"] = "quorum"
		if _, err := channel.QueueDeclare(queue.name, durable, autoDelete, exclusive, noWait, queue.arguments); err != nil {
			return fmt.Errorf("declare the queue %s: %w", queue.name, err)
		}
	}
	return q.bind(channel)
}

// bind binds the queue to its types. Only then it removes the bindings of the queue ForwardTo, so that no event is lost.
func (q Queue) bind(channel *amqp.Channel) error {
	for _, typ := range q.Types {
		if err := channel.QueueBind(q.Name, typ, Exchange, false, nil); err != nil {
			return fmt.Errorf("bind the queue %s to %s: %w", q.Name, typ, err)
		}
		if q.ForwardTo == "" {
			continue
		}
		if err := channel.QueueUnbind(q.ForwardTo, typ, Exchange, nil); err != nil { // the broker ignores a missing queue or binding
			return fmt.Errorf("unbind the queue %s from %s: %w", q.ForwardTo, typ, err)
		}
	}
	return nil
}

// errReturned means that the broker returned a message, because the queue to which it was moved no longer exists.
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
	case <-in.returns: // the broker returns a message before it confirms the message
		return errReturned
	default:
		return nil
	}
}

// history describes the earlier attempts at a message, from its headers.
type history struct {
	attempts int
	deferred int       // how many attempts ended with Defer
	first    time.Time // when the first attempt was made
	headers  amqp.Table
}

// historyOf reads the headers of a message. It ignores headers that it can't read.
func historyOf(delivery amqp.Delivery) history {
	h := history{first: time.Now(), headers: amqp.Table{}}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value, ok := delivery.Headers[name]; ok {
			h.headers[name] = value
		}
	}
	h.attempts, h.deferred = count(delivery.Headers[headerAttempts]), count(delivery.Headers[headerDeferred])
	text, _ := delivery.Headers[headerFirst].(string)
	if first, err := time.Parse(time.RFC3339, text); err == nil {
		h.first = first
	}
	return h
}

// count reads a header with a number. It returns 0 if the header is missing, negative or not a number.
func count(header any) int {
	n, _ := header.(int64)
	return int(max(0, min(n, 1<<30)))
}

// age returns the time since the first attempt, which is 0 only at the first attempt.
func (h history) age() time.Duration {
	if h.attempts == 0 {
		return 0
	}
	return max(1, time.Since(h.first))
}

// delay returns the time before the next attempt.
func (h history) delay(q Queue, disposition Disposition) time.Duration {
	if disposition == Defer {
		return q.Deferrals[min(h.deferred, len(q.Deferrals)-1)]
	}
	return q.Retries[min(h.attempts, len(q.Retries)-1)]
}

// again returns the headers for another attempt.
func (h history) again(disposition Disposition, reason string) amqp.Table {
	if disposition == Defer {
		h.deferred++
	}
	h.headers[headerAttempts] = int64(h.attempts + 1)
	h.headers[headerDeferred] = int64(h.deferred)
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
