// Mailer is a sample consumer of events: it would send the mails that carry one-time tokens. It
// writes each mail to a file instead.
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
	dir := flag.String("dir", "mails", "the folder where mails are written")
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

// mailer takes events from a queue and sends a mail for each.
type mailer struct {
	url, queue string
	outgoing   folder
	log        io.Writer
}

// consume works until ctx ends or the connection is lost.
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
	// Ten mails at once are on their way to this program; the others wait for it or for a replica.
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

// settle handles one event and tells the broker what became of it: only what was sent is
// acknowledged.
func (m mailer) settle(ctx context.Context, delivery amqp.Delivery) error {
	done, err := m.handle(delivery.Body)
	var unreadable *unreadableError
	switch {
	case errors.As(err, &unreadable): // it would not be better next time: to the dead letters
		fmt.Fprintln(m.log, "set aside", delivery.MessageId, err)
		return delivery.Nack(false, false)
	case err != nil: // again, a moment later; the queue's delivery limit ends that
		fmt.Fprintln(m.log, "put back", delivery.MessageId, err)
		wait(ctx, time.Second)
		return delivery.Nack(false, true)
	default:
		fmt.Fprintln(m.log, done, delivery.MessageId) // neither the token nor the email
		return delivery.Ack(false)
	}
}

// handle sends the mail that an event asks for, and says what it has done.
func (m mailer) handle(body []byte) (done string, err error) {
	e, err := read(body)
	if err != nil {
		return "", err
	}
	if time.Now().After(e.Data.ExpiresAt) {
		return "came too late for", nil // the queue was not read for a while: nobody can use the token
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
