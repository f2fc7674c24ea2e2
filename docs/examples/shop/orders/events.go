package main

import (
	"encoding/json"
	"errors"
	"log"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// follow erases the orders of each user whose account is erased. It connects again after a failure. docs/consumers.md has the rules for
// consumers.
func (s *shop) follow(broker string) {
	for {
		log.Printf("orders: %v; trying again in 2 s", s.consume(broker))
		<-time.After(2 * time.Second)
	}
}

// consume handles events until the connection is lost.
func (s *shop) consume(broker string) error {
	conn, err := amqp.Dial(broker)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	events, err := subscribe(channel)
	if err != nil {
		return err
	}
	log.Print("orders: waiting for erased users")
	for event := range events {
		if err := s.handle(event); err != nil {
			return err
		}
	}
	return errors.New("the connection to the broker is lost")
}

// subscribe declares a queue that keeps the events while this program is not running, and a queue for unreadable events.
func subscribe(channel *amqp.Channel) (<-chan amqp.Delivery, error) {
	const queue, dead, quorum = "orders", "orders.dead", "quorum"
	err := channel.ExchangeDeclare(dead, amqp.ExchangeFanout, true, false, false, false, nil)
	if err == nil {
		_, err = channel.QueueDeclare(dead, true, false, false, false, amqp.Table{"x-queue-type": quorum})
	}
	if err == nil {
		err = channel.QueueBind(dead, "", dead, false, nil)
	}
	if err == nil {
		_, err = channel.QueueDeclare(queue, true, false, false, false,
			amqp.Table{"x-queue-type": quorum, "x-single-active-consumer": true, "x-dead-letter-exchange": dead})
	}
	if err == nil {
		err = channel.QueueBind(queue, "user.deleted", "user_events", false, nil)
	}
	if err != nil {
		return nil, err
	}
	return channel.Consume(queue, "", false, false, false, false, nil)
}

// handle erases the orders of an event's user. It is idempotent, so duplicates are harmless.
func (s *shop) handle(event amqp.Delivery) error {
	var deleted struct{ Type, Subject string }
	if err := json.Unmarshal(event.Body, &deleted); err != nil || deleted.Subject == "" {
		return event.Nack(false, false)
	}
	if deleted.Type == "user.deleted" {
		s.erase(deleted.Subject)
		log.Printf("orders: erased the orders of %s", deleted.Subject)
	}
	return event.Ack(false)
}

// erase keeps only the id of a user, so that no late request stores another order.
func (s *shop) erase(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erased[user] = true
	delete(s.orders, user)
}
