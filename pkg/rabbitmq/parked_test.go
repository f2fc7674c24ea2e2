package rabbitmq_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/rabbitmq"
)

// TestOnlyAPartOfAMessageIsStored checks that only the part that Keep returns is stored in other queues, because the rest is personal data.
func TestOnlyAPartOfAMessageIsStored(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), func(body string) (rabbitmq.Disposition, string) {
		if body == "a and more" {
			return rabbitmq.Defer, "once more"
		}
		return rabbitmq.Park, "enough"
	})
	d.publish("a and more", nil)
	d.publish("b and more", nil)
	if first, second := d.parked(), d.parked(); string(first.Body) != "b" && string(second.Body) != "b" {
		t.Errorf("the parked messages are %s and %s", first.Body, second.Body)
	}
	if len(d.handled("a")) != 1 {
		t.Errorf("the second attempt has %v", d.jobs)
	}
}

// TestAPanicParksTheMessage checks that a message whose handler panics is parked. Otherwise the message would end one process after
// another.
func TestAPanicParksTheMessage(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), func(body string) (rabbitmq.Disposition, string) {
		if body == "bad" {
			panic("on purpose")
		}
		return rabbitmq.Done, ""
	})
	d.publish("bad", nil)
	if m := d.parked(); string(m.Body) != "bad" || m.Headers["x-parked-reason"] != "panic" {
		t.Errorf("the parked message is %+v", m)
	}
	d.publish("good", nil)
	d.await("another message", func() bool { return len(d.handled("good")) == 1 })
}

// TestObsoleteParkedMessagesAreRemoved checks that only obsolete messages are removed. A message for which Obsolete fails stays too.
func TestObsoleteParkedMessagesAreRemoved(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Park, "enough"))
	for _, body := range []string{"gone", "kept", "gone too"} {
		d.publish(body, nil)
	}
	d.await("parked messages", func() bool { return d.length(d.queue.Name+".parked") == 3 })
	d.stop()
	var checked atomic.Int32
	d.obsolete = func(body string) (bool, error) {
		checked.Add(1)
		return body != "kept", nil
	}
	d.start(broker(t)) // the Consumer checks the parked messages after it has connected
	// The length does not count a message while Obsolete checks it.
	d.await("one message", func() bool { return checked.Load() == 3 && d.length(d.queue.Name+".parked") == 1 })
	d.stop()
	d.obsolete = func(string) (bool, error) { return true, errors.New("no answer") }
	d.start(broker(t))
	d.stop()
	if m := d.parked(); string(m.Body) != "kept" {
		t.Errorf("%s is left", m.Body)
	}
}

// TestParkedMessagesAreLimited checks that the queue has a limit in bytes, and that its messages expire. The broker refuses to declare an
// existing queue with other values.
func TestParkedMessagesAreLimited(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	other := dial(t)
	for name, value := range map[string]any{"x-message-ttl": int64(1), "x-max-length-bytes": int64(1)} {
		arguments := amqp.Table{
			"x-queue-type": "quorum", "x-delivery-limit": int64(1 << 30),
			"x-message-ttl": (30 * 24 * time.Hour).Milliseconds(), "x-max-length-bytes": int64(64 << 20),
		}
		declare := func(channel *amqp.Channel) error {
			_, err := channel.QueueDeclare(d.queue.Name+".parked", true, false, false, false, arguments)
			return err
		}
		if err := declare(other); err != nil {
			t.Fatal(err)
		}
		arguments[name] = value
		if err := declare(dial(t)); err == nil {
			t.Errorf("the queue has no %s", name)
		}
	}
}

func TestParkedMessagesAreListedAndRetried(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	var mu sync.Mutex
	disposition, reason := rabbitmq.Park, "enough"
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		mu.Lock()
		defer mu.Unlock()
		return disposition, reason
	})
	for n := range 5 {
		d.publish(fmt.Sprint(n), nil)
	}
	for range 2 { // the second list shows that the first one has changed nothing
		var list []rabbitmq.ParkedMessage
		d.await("five parked messages", func() bool {
			var err error
			if list, err = rabbitmq.Parked(t.Context(), broker(t), d.queue, log); err != nil {
				t.Fatal(err)
			}
			return len(list) == 5
		})
		if m := list[0]; m.ID == "" || m.Reason != "enough" || m.Attempts != 1 || m.ParkedAt == "" || m.First == "" {
			t.Errorf("the first one is %+v", m)
		}
	}
	mu.Lock()
	disposition, reason = rabbitmq.Done, ""
	mu.Unlock()
	d.await("all messages in the queue", func() bool { return d.length(d.queue.Name+".parked") == 5 })
	if moved, err := rabbitmq.RetryParked(t.Context(), broker(t), d.queue, log); moved != 5 || err != nil {
		t.Errorf("%d messages were moved, %v", moved, err)
	}
	for n := range 5 {
		d.await("a second attempt", func() bool { return len(d.handled(fmt.Sprint(n))) == 2 })
	}
	missing := rabbitmq.Queue{Name: "test.missing"}
	if _, err := rabbitmq.Parked(t.Context(), broker(t), missing, log); err == nil {
		t.Error("a missing queue has messages")
	}
}
