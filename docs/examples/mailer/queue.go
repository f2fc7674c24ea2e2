package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

const exchange = "user_events"

// types are the event types with a token to be sent by email, and also the routing keys. The queue gets no other
// events with tokens or personal data.
var types = []string{"user.password_reset_requested", "user.email_verification_requested"}

// declare creates the exchange, as the service declares it, and two durable queues. The first queue keeps events while
// this program is not running. The second queue is for dead letters.
func declare(channel *amqp.Channel, queue string) error {
	if err := channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare the exchange: %w", err)
	}
	dead := queue + ".dead"
	if _, err := channel.QueueDeclare(dead, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return fmt.Errorf("declare the queue of dead letters: %w", err)
	}
	_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum", // replicated, and counts deliveries
		"x-delivery-limit":          10,
		"x-dead-letter-exchange":    "", // the default exchange delivers to the queue with the name of the routing key
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
