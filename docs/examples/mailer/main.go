// Mailer is a sample consumer of events with one-time tokens. In place of sending emails, it writes each
// email to a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	m := mailer{log: os.Stdout}
	flag.StringVar(&m.url, "url", os.Getenv("AMQP_URL"), "the broker, amqp://user:password@host:port/vhost; by default AMQP_URL")
	flag.StringVar(&m.queue, "queue", "mailer", "the queue, shared by all replicas of this program")
	dir := flag.String("dir", "mails", "the folder for the emails")
	flag.Parse()
	m.outgoing = folder(*dir)
	if err := m.check(); err != nil {
		fmt.Fprintln(os.Stderr, "mailer:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m.run(ctx)
}

// mailer consumes events from a queue and sends an email for each event with a token.
type mailer struct {
	url, queue string
	outgoing   folder
	log        io.Writer
}

// check returns what is wrong with the configuration. The error does not contain the password in the URL.
func (m mailer) check() error {
	if m.url == "" {
		return errors.New("AMQP_URL is not set: set it to the broker, such as amqp://user:password@127.0.0.1:5672/")
	}
	if _, err := amqp.ParseURI(m.url); err != nil {
		var syntax *url.Error
		if errors.As(err, &syntax) {
			err = syntax.Err // without the URL
		}
		return fmt.Errorf("AMQP_URL is not the URL of a broker, such as amqp://user:password@127.0.0.1:5672/: %w", err)
	}
	return m.outgoing.check()
}

// run consumes events until ctx ends. It connects again after a failure, and reports each failure once.
func (m mailer) run(ctx context.Context) {
	reported := ""
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, 30*time.Second) {
		err := m.consume(ctx, func() {
			fmt.Fprintf(m.log, "waiting for events on the queue %s; the broker sends them to one replica at a time\n", m.queue)
			reported, pause = "", time.Second
		})
		if err != nil && err.Error() != reported {
			reported = err.Error()
			fmt.Fprintf(os.Stderr, "mailer: %s; trying again\n", reported)
		}
		wait(ctx, pause)
	}
}

// consume handles events until ctx ends or the connection is lost. It calls ready when the broker has accepted the consumer.
func (m mailer) consume(ctx context.Context, ready func()) error {
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
	// The broker sends at most ten unacknowledged events. This program handles them one after the other.
	if err := channel.Qos(10, 0, false); err != nil {
		return fmt.Errorf("set the prefetch: %w", err)
	}
	deliveries, err := channel.ConsumeWithContext(ctx, m.queue, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	ready()
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

// maxAttempts is the number of attempts to handle an event, within about four minutes.
const maxAttempts = 10

// settle handles one event, then acknowledges or dead-letters it. After a failure, it tries the same event again. Events that are
// requeued would come after later events of the same user.
func (m mailer) settle(ctx context.Context, delivery amqp.Delivery) error {
	for attempt := 1; ; attempt++ {
		done, err := m.handle(delivery.Body)
		var unreadable *unreadableError
		switch {
		case err == nil:
			fmt.Fprintln(m.log, done, delivery.MessageId) // without the token and the email
			return delivery.Ack(false)
		case errors.As(err, &unreadable), attempt == maxAttempts:
			fmt.Fprintln(m.log, "dead-lettered", delivery.MessageId, err)
			return delivery.Nack(false, false)
		}
		fmt.Fprintln(m.log, "failed, trying again", delivery.MessageId, err)
		if wait(ctx, min(time.Second<<(attempt-1), 30*time.Second)); ctx.Err() != nil {
			return nil // the broker delivers the event again, because it is not acknowledged
		}
	}
}

// handle handles an event, and returns a description of the result for the log.
func (m mailer) handle(body []byte) (done string, err error) {
	e, err := read(body)
	switch {
	case err != nil:
		return "", err
	case e.Type == userDeleted:
		return "erased a user by", m.outgoing.erase(e.Subject)
	case subjects[e.Type] == "":
		return "ignored an event of another type:", nil
	case time.Now().After(e.Data.ExpiresAt):
		return "dropped an expired token of", nil // the token has expired while the event was in the queue
	}
	switch err := m.outgoing.send(e); {
	case errors.Is(err, errSent):
		return "dropped a duplicate of", nil
	case errors.Is(err, errErased):
		return "dropped an event of an erased user:", nil
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
