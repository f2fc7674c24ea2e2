package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
	"user-service/test/chaos/history"
)

const (
	everything = "chaos.everything" // the queue of a consumer of all events
	mailbox    = "chaos.mailbox"    // the queue of a consumer that mails tokens
)

// bind declares the service's exchange and the durable queues of its consumers.
func (r *rig) bind(channel *amqp.Channel) error {
	kind := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeClassic}
	if len(r.broker.nodes) > 1 {
		kind = amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	}
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return err
	}
	for queue, key := range map[string]string{everything: "#", mailbox: "user.password_reset_requested"} {
		if _, err := channel.QueueDeclare(queue, true, false, false, false, kind); err != nil {
			return err
		}
		if err := channel.QueueBind(queue, key, rabbitmq.Exchange, false, nil); err != nil {
			return err
		}
	}
	return nil
}

// cloudEvent is a message as the service publishes it.
type cloudEvent struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	UserVersion int       `json:"userversion"`
	Time        time.Time `json:"time"`
	Traceparent string    `json:"traceparent"`
	Data        struct {
		User    *history.User `json:"user"`
		Changed []string      `json:"changed"`
		Session string        `json:"session_id"`
		Token   string        `json:"token"`
	} `json:"data"`
}

// event parses a message of a queue.
func (r *rig) event(body []byte) (history.Event, error) {
	var e cloudEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return history.Event{}, fmt.Errorf("read an event: %w: %s", err, body)
	}
	return history.Event{
		ID: e.ID, Type: e.Type, Subject: e.Subject, UserVersion: e.UserVersion, Time: e.Time.Sub(r.began), Op: opOf(e.Traceparent),
		User: e.Data.User, Changed: e.Data.Changed, Session: e.Data.Session, Body: string(body),
	}, nil
}

// last is the type of the message that marks the end of all events.
const last = "chaos.last"

// deliveries consumes all events of the consumer's queue, in the order of their arrival.
func (r *rig) deliveries() (events []history.Event, err error) {
	err = r.onBroker(func(channel *amqp.Channel) error {
		if err := channel.Confirm(false); err != nil {
			return err
		}
		confirmed, err := channel.PublishWithDeferredConfirm("", everything, true, false, amqp.Publishing{
			Type: last, DeliveryMode: amqp.Persistent,
		})
		if err != nil {
			return err
		}
		if !confirmed.Wait() {
			return errors.New("the queue accepts no message")
		}
		deliveries, err := channel.Consume(everything, "", true, true, false, false, nil)
		if err != nil {
			return err
		}
		for d := range deliveries {
			if d.Type == last {
				return nil
			}
			e, err := r.event(d.Body)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return errors.New("the connection was lost")
	})
	return events, err
}

// readMail collects reset tokens until ctx ends. It reconnects after each fault of the broker.
func (r *rig) readMail(ctx context.Context) {
	for ctx.Err() == nil {
		_ = r.onBroker(func(channel *amqp.Channel) error {
			deliveries, err := channel.ConsumeWithContext(ctx, mailbox, "", true, false, false, false, nil)
			if err != nil {
				return err
			}
			for d := range deliveries {
				var e cloudEvent
				if err := json.Unmarshal(d.Body, &e); err != nil {
					return err
				}
				r.mu.Lock()
				r.mail[e.Subject] = append(r.mail[e.Subject], e.Data.Token)
				r.mu.Unlock()
			}
			return nil
		})
		testkit.Pause(ctx, 200*time.Millisecond)
	}
}

// takeToken returns the newest token that was mailed to a user, and removes all of the user's tokens.
func (r *rig) takeToken(user string) (token string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tokens := r.mail[user]
	delete(r.mail, user)
	if len(tokens) == 0 {
		return "", false
	}
	return tokens[len(tokens)-1], true
}
