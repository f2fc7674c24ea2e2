// Mailer is a sample consumer of events with one-time tokens. In place of sending emails, it writes each
// email to a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	url := flag.String("url", os.Getenv("AMQP_URL"), "the broker, amqp://user:password@host:port/vhost; by default AMQP_URL")
	queue := flag.String("queue", "mailer", "the queue, shared by all replicas of this program")
	dir := flag.String("dir", "mails", "the folder for the emails")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	m := mailer{url: *url, queue: *queue, outgoing: folder(*dir), log: os.Stdout}
	for ctx.Err() == nil {
		if err := m.consume(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "mailer:", err)
			wait(ctx, time.Second)
		}
	}
}

// mailer consumes events from a queue and sends an email for each event.
type mailer struct {
	url, queue string
	outgoing   folder
	log        io.Writer
}

// consume handles events until ctx ends or the connection is lost.
func (m mailer) consume(ctx context.Context) error {
	conn, err := amqp.Dial(m.url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := declare(channel, m.queue); err != nil {
		return err
	}
	// The broker sends at most ten unacknowledged events; the other events stay available to other replicas.
	if err := channel.Qos(10, 0, false); err != nil {
		return fmt.Errorf("set the prefetch: %w", err)
	}
	deliveries, err := channel.ConsumeWithContext(ctx, m.queue, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	for delivery := range deliveries {
		if err := m.settle(ctx, delivery); err != nil {
			return fmt.Errorf("answer the broker: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the connection is lost")
}

// settle handles one event, then acknowledges, requeues or dead-letters the event.
func (m mailer) settle(ctx context.Context, delivery amqp.Delivery) error {
	done, err := m.handle(delivery.Body)
	var unreadable *unreadableError
	switch {
	case errors.As(err, &unreadable): // a retry cannot help: dead-letter the event
		fmt.Fprintln(m.log, "dead-lettered", delivery.MessageId, err)
		return delivery.Nack(false, false)
	case err != nil: // requeue after a moment; the queue's delivery limit ends the retries
		fmt.Fprintln(m.log, "requeued", delivery.MessageId, err)
		wait(ctx, time.Second)
		return delivery.Nack(false, true)
	default:
		fmt.Fprintln(m.log, done, delivery.MessageId) // without the token and the email
		return delivery.Ack(false)
	}
}

// handle sends the email of an event, and returns a description of the result for the log.
func (m mailer) handle(body []byte) (done string, err error) {
	e, err := read(body)
	if err != nil {
		return "", err
	}
	if time.Now().After(e.Data.ExpiresAt) {
		return "dropped an expired token of", nil // the token has expired while the event was in the queue
	}
	switch err := m.outgoing.send(e.ID, e.mail()); {
	case errors.Is(err, errSent):
		return "dropped a duplicate of", nil
	case err != nil:
		return "", err
	default:
		return "sent", nil
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
