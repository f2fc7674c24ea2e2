package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

const exchange = "user_events"

// types are the events that ask for a mail, and their routing keys. Nothing else that carries tokens
// or personal data comes into the queue.
var types = []string{"user.password_reset_requested", "user.email_verification_requested"}

// declare makes what is missing: the exchange as the service declares it, a durable queue that keeps
// events while this program is away, and beside it a queue for what it could not handle.
func declare(channel *amqp.Channel, queue string) error {
	if err := channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare the exchange: %w", err)
	}
	dead := queue + ".dead"
	if _, err := channel.QueueDeclare(dead, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return fmt.Errorf("declare the queue of dead letters: %w", err)
	}
	_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum", // replicated, and it counts deliveries
		"x-delivery-limit":          10,
		"x-dead-letter-exchange":    "", // the default one, which delivers to the queue by its name
		"x-dead-letter-routing-key": dead,
	})
	if err != nil {
		return fmt.Errorf("declare the queue: %w", err)
	}
	for _, typ := range types {
		if err := channel.QueueBind(queue, typ, exchange, false, nil); err != nil {
			return fmt.Errorf("bind the queue to %s: %w", typ, err)
		}
	}
	return nil
}
