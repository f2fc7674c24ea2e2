package main

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

const exchange = "user_events"

// types are the event types that this program needs, and also the routing keys. The queue gets no other events with tokens or
// personal data.
var types = []string{"user.password_reset_requested", "user.email_verification_requested", "user.invitation_requested", userDeleted}

// declare creates two durable queues. The first queue keeps events while this program is not running. The second queue is for dead
// letters. It has its own exchange, because dead-lettering to the default exchange requires the right to write to every queue.
func declare(channel *amqp.Channel, queue string) error {
	dead := queue + ".dead"
	if err := channel.ExchangeDeclare(dead, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return explain("declare the exchange of dead letters", err)
	}
	if _, err := channel.QueueDeclare(dead, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return explain("declare the queue of dead letters", err)
	}
	if err := channel.QueueBind(dead, "", dead, false, nil); err != nil {
		return explain("bind the queue of dead letters", err)
	}
	_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type":             "quorum", // replicated, and counts deliveries
		"x-single-active-consumer": true,     // one replica gets all events, in order
		"x-delivery-limit":         10,       // for an event that ends this program each time
		"x-dead-letter-exchange":   dead,
	})
	if err != nil {
		return explain("declare the queue", err)
	}
	for _, typ := range types {
		if err := channel.QueueBind(queue, typ, exchange, false, nil); err != nil {
			return explain("bind the queue to "+typ, err)
		}
	}
	return nil
}

// explain adds what the operator can do about a refusal of the broker.
func explain(step string, err error) error {
	var refusal *amqp.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case amqp.NotFound:
			step += ": start the user service first, which declares the exchange " + exchange
		case amqp.AccessRefused:
			step += ": give the RabbitMQ user the permissions in docs/consumers.md"
		case amqp.PreconditionFailed:
			step += ": it exists with other arguments, so delete it, or choose another name by -queue"
		}
	}
	return fmt.Errorf("%s: %w", step, err)
}
