package rabbitmq_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// TestAForwardedMessageIsAFirstAttempt forwards a message at its second attempt. The other queue gets the part of the message that Keep
// returns, as a message without attempts.
func TestAForwardedMessageIsAFirstAttempt(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int32
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		if attempts.Add(1) == 1 {
			return rabbitmq.Retry, "not yet"
		}
		return rabbitmq.Forward, ""
	})
	other := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	d.stop()
	d.queue.ForwardTo = other.queue.Name
	d.start(broker(t))
	d.publish("a and more", nil)
	d.await("the forwarded message", func() bool { return len(other.handled("a")) == 1 })
	d.await("empty queues", func() bool { return d.length(d.queue.Name) == 0 && d.length(d.queue.Name+".retry") == 0 })
	if age := other.handled("a")[0].Age; age != 0 {
		t.Errorf("the age of the forwarded message is %s, want 0", age)
	}
}

// TestNoMessageIsLostWithoutTheOtherQueue forwards a message before the other queue exists.
func TestNoMessageIsLostWithoutTheOtherQueue(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Forward, ""))
	d.stop()
	d.queue.ForwardTo = "test." + uuid.NewString()
	deleteQueues(t, d.channel, d.queue.ForwardTo)
	d.start(broker(t))
	d.publish("a", nil)
	d.await("two attempts", func() bool { return len(d.handled("a")) >= 2 })
	other := &fixture{t: t, queue: rabbitmq.Queue{Name: d.queue.ForwardTo}, channel: d.channel, disposition: always(rabbitmq.Done, "")}
	other.start(broker(t))
	d.await("the forwarded message", func() bool { return len(other.handled("a")) >= 1 })
}

// TestTheBindingsOfTheOtherQueueAreRemoved starts a Consumer for a type to which the other queue was bound by another version. Only the
// Consumer's queue gets the events of the type then.
func TestTheBindingsOfTheOtherQueueAreRemoved(t *testing.T) {
	t.Parallel()
	other := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	moved := randomType()
	if err := other.channel.QueueBind(other.queue.Name, string(moved), rabbitmq.Exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	d := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	d.stop()
	d.queue.Types, d.queue.ForwardTo = append(d.queue.Types, string(moved)), other.queue.Name
	d.start(broker(t))
	p := start(t, broker(t), nil)
	events := append(newEvents(t, moved, 1), newEvents(t, event.Type(other.queue.Name), 1)...)
	noErrors(t, p.Publish(t.Context(), events))
	for i, queue := range []*fixture{d, other} {
		body, _ := events[i].CloudEvent()
		d.await("an event", func() bool { return len(queue.handled(string(body))) == 1 })
	}
	other.stop()
	if len(other.jobs) != 1 {
		t.Errorf("the other queue has got %d events, want 1", len(other.jobs))
	}
}

// TestWaited checks that the time in the queue is measured at the first attempt, and only for a message with a timestamp.
func TestWaited(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int32
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		if attempts.Add(1) == 1 {
			return rabbitmq.Retry, "not yet"
		}
		return rabbitmq.Done, ""
	})
	if err := d.channel.PublishWithContext(t.Context(), "", d.queue.Name, true, false, amqp.Publishing{
		Body: []byte("a"), Timestamp: time.Now().Add(-time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	d.publish("without a timestamp", nil)
	d.await("all attempts", func() bool { return attempts.Load() == 3 })
	d.stop()
	if len(d.waited) != 1 || d.waited[0] < time.Hour {
		t.Errorf("the messages have waited for %s, want one time of at least an hour", d.waited)
	}
}
