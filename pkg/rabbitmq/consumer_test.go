package rabbitmq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// retries are short delays, so that a test need not wait long.
var (
	retries   = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}
	deferrals = []time.Duration{50 * time.Millisecond, time.Hour}
)

// suffixes are the ends of the names of a Consumer's queues.
var suffixes = []string{"", ".parked", ".retry", ".delay.50ms", ".delay.100ms", ".delay.1h"}

// fixture is a Consumer with its own queues.
type fixture struct {
	t        *testing.T
	queue    rabbitmq.Queue
	channel  *amqp.Channel
	consumer *rabbitmq.Consumer
	stop     func()

	mu          sync.Mutex
	disposition func(body string) (rabbitmq.Disposition, string)
	obsolete    func(body string) (bool, error)
	jobs        []rabbitmq.Job
	lengths     [3]int
	waited      []time.Duration
}

func (d *fixture) Connected(bool) {}

func (d *fixture) QueueLengths(ready, retrying, parked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lengths = [3]int{ready, retrying, parked}
}

func (d *fixture) Waited(waited time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waited = append(d.waited, waited)
}

// startConsumer runs a Consumer at a broker until the test ends. disposition decides about each message.
func startConsumer(t *testing.T, broker rabbitmq.Broker, disposition func(body string) (rabbitmq.Disposition, string)) *fixture {
	t.Helper()
	name := "test." + uuid.NewString()
	d := &fixture{
		t: t, queue: rabbitmq.Queue{Name: name, Types: []string{name}, Retries: retries, Deferrals: deferrals},
		channel: dial(t), disposition: disposition,
	}
	deleteQueues(t, d.channel, name)
	d.start(broker)
	return d
}

// deleteQueues deletes the queues of a Consumer at the end of the test.
func deleteQueues(t *testing.T, channel *amqp.Channel, name string) {
	t.Helper()
	t.Cleanup(func() {
		for _, suffix := range suffixes {
			_, _ = channel.QueueDelete(name+suffix, false, false, false)
		}
	})
}

func (d *fixture) start(broker rabbitmq.Broker) {
	d.t.Helper()
	d.consumer = rabbitmq.NewConsumer(broker, d.queue, rabbitmq.ConsumerConfig{
		Handle: d.handle, Keep: func(body []byte) []byte { return bytes.TrimSuffix(body, []byte(" and more")) }, Obsolete: d.isObsolete,
		Workers: 2, RetryWorkers: 1, Grace: time.Second, Observer: d,
	})
	d.stop = background(d.t, d.consumer.Run)
	d.await("the connection", func() bool { return d.consumer.Check(d.t.Context()) == nil })
}

func (d *fixture) handle(_ context.Context, job rabbitmq.Job) (rabbitmq.Disposition, string) {
	d.mu.Lock()
	d.jobs = append(d.jobs, job)
	d.mu.Unlock()
	return d.disposition(string(job.Body))
}

func (d *fixture) isObsolete(_ context.Context, body []byte) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.obsolete == nil {
		return false, nil
	}
	return d.obsolete(string(body))
}

// handled returns the attempts at the message with this body so far.
func (d *fixture) handled(body string) (jobs []rabbitmq.Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, job := range d.jobs {
		if string(job.Body) == body {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

func (d *fixture) await(what string, condition func() bool) {
	d.t.Helper()
	testkit.WaitFor(d.t, what, condition)
}

// publish publishes a message to the queue.
func (d *fixture) publish(body string, headers amqp.Table) {
	d.t.Helper()
	if err := d.channel.PublishWithContext(d.t.Context(), "", d.queue.Name, true, false, amqp.Publishing{
		Body: []byte(body), MessageId: body, Headers: headers, DeliveryMode: amqp.Persistent,
	}); err != nil {
		d.t.Fatal(err)
	}
}

// length returns the number of ready messages in a queue.
func (d *fixture) length(queue string) int {
	d.t.Helper()
	found, err := d.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return found.Messages
}

// parked waits for a parked message, and returns it.
func (d *fixture) parked() (m amqp.Delivery) {
	d.t.Helper()
	d.await("a parked message", func() bool {
		var ok bool
		var err error
		if m, ok, err = d.channel.Get(d.queue.Name+".parked", true); err != nil {
			d.t.Fatal(err)
		}
		return ok
	})
	return m
}

func always(disposition rabbitmq.Disposition, reason string) func(string) (rabbitmq.Disposition, string) {
	return func(string) (rabbitmq.Disposition, string) { return disposition, reason }
}

func TestAConsumerGetsTheEventsOfItsTypes(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	p := start(t, broker(t), nil)
	events := newEvents(t, event.Type(d.queue.Name), 20)
	noErrors(t, p.Publish(t.Context(), events))
	noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 1)))
	for _, e := range events {
		body, _ := e.CloudEvent()
		d.await("an event", func() bool { return len(d.handled(string(body))) == 1 })
	}
	d.stop()
	if n := d.length(d.queue.Name); n != 0 || len(d.jobs) != len(events) {
		t.Errorf("%d messages are left, and %d were handled, want %d", n, len(d.jobs), len(events))
	}
}

// TestNothingIsLostWithTheConnection cuts connections while messages are handled, retried and parked.
func TestNothingIsLostWithTheConnection(t *testing.T) {
	t.Parallel()
	proxy, cfg := proxied(t, broker(t))
	var mu sync.Mutex
	attempts := map[string]int{}
	d := startConsumer(t, cfg, func(body string) (rabbitmq.Disposition, string) {
		mu.Lock()
		defer mu.Unlock()
		if attempts[body]++; attempts[body] == 1 {
			return rabbitmq.Retry, "once more"
		}
		if body[0] == 'p' {
			return rabbitmq.Park, "enough"
		}
		return rabbitmq.Done, ""
	})
	const each = 30
	for n := range each {
		d.publish(fmt.Sprintf("d%d", n), nil)
		d.publish(fmt.Sprintf("p%d", n), nil)
		if n%10 == 5 {
			proxy.Stop()
			if err := proxy.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range each {
		d.await("an acknowledged message", func() bool { return len(d.handled(fmt.Sprintf("d%d", n))) >= 2 })
	}
	found := map[string]bool{}
	d.await("all parked messages", func() bool {
		m, ok, err := d.channel.Get(d.queue.Name+".parked", true)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			found[m.MessageId] = true
		}
		return len(found) == each
	})
	d.await("empty queues", func() bool { return d.length(d.queue.Name) == 0 })
}

// TestAMessageOfADeadProcessIsDeliveredAgain ends the connection while a handler runs. The broker must deliver the message again.
func TestAMessageOfADeadProcessIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	proxy, cfg := proxied(t, broker(t))
	entered, release := make(chan struct{}, 10), make(chan struct{})
	d := startConsumer(t, cfg, func(string) (rabbitmq.Disposition, string) {
		entered <- struct{}{}
		<-release
		return rabbitmq.Done, ""
	})
	d.publish("a", nil)
	receive(t, entered)
	proxy.Stop()
	close(release)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	receive(t, entered)
	d.await("an empty queue", func() bool { return d.length(d.queue.Name) == 0 })
}

// TestAShutdownFinishesWhatRuns checks that Run waits for the running handlers. It must start no other handler, so that the other messages
// stay in the queue.
func TestAShutdownFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 10), make(chan struct{})
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		entered <- struct{}{}
		<-release
		return rabbitmq.Retry, "later"
	})
	for n := range 5 {
		d.publish(fmt.Sprint(n), nil)
	}
	receive(t, entered)
	receive(t, entered) // both workers are busy
	stopped := make(chan struct{})
	go func() { defer close(stopped); d.stop() }()
	close(release)
	receive(t, stopped)
	if n := len(d.jobs); n != 2 {
		t.Errorf("%d messages were handled, want 2", n)
	}
	d.await("all messages in the queues", func() bool { return d.length(d.queue.Name) == 3 && d.length(d.queue.Name+".retry") == 2 })
}

// TestAShutdownAbortsWhatTakesTooLong checks that a handler's context ends when Grace has passed since the shutdown.
func TestAShutdownAbortsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 10)
	name := "test." + uuid.NewString()
	channel := dial(t)
	deleteQueues(t, channel, name)
	c := rabbitmq.NewConsumer(broker(t), rabbitmq.Queue{Name: name, Retries: []time.Duration{time.Hour}}, rabbitmq.ConsumerConfig{
		Handle: func(ctx context.Context, _ rabbitmq.Job) (rabbitmq.Disposition, string) {
			entered <- struct{}{}
			<-ctx.Done()
			return rabbitmq.Retry, "aborted"
		}, Workers: 1, Grace: 10 * time.Millisecond,
	})
	stop := background(t, c.Run)
	testkit.WaitFor(t, "the connection", func() bool { return c.Check(t.Context()) == nil })
	if err := channel.PublishWithContext(t.Context(), "", name, true, false, amqp.Publishing{Body: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	receive(t, entered)
	stop()
	testkit.WaitFor(t, "the message in the retry queue", func() bool {
		found, err := channel.QueueDeclarePassive(name+".delay.1h", true, false, false, false, nil)
		return err == nil && found.Messages == 1
	})
}

// TestDeletedQueuesAreDeclaredAgain deletes the queue for parked messages before a message is parked. The Consumer must not acknowledge
// that message, but declare the queue again and handle the message again.
func TestDeletedQueuesAreDeclaredAgain(t *testing.T) {
	t.Parallel()
	deleted := make(chan struct{})
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		<-deleted
		return rabbitmq.Park, "enough"
	})
	d.publish("a", nil)
	d.await("the handler", func() bool { return len(d.handled("a")) == 1 })
	if _, err := d.channel.QueueDelete(d.queue.Name+".parked", false, false, false); err != nil {
		t.Fatal(err)
	}
	close(deleted)
	d.await("a second attempt", func() bool { return len(d.handled("a")) == 2 })
	if m := d.parked(); string(m.Body) != "a" {
		t.Errorf("the parked message is %s", m.Body)
	}
}

func TestQueueLengths(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Park, "enough"))
	d.publish("a", nil)
	d.publish("b", nil)
	d.await("parked messages", func() bool { return d.length(d.queue.Name+".parked") == 2 })
	d.stop()
	d.start(broker(t)) // the Consumer measures the lengths after it has connected
	d.await("the lengths", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.lengths == [3]int{0, 0, 2}
	})
}

func TestAConsumerFollowsTheBroker(t *testing.T) {
	t.Parallel()
	proxy, cfg := proxied(t, broker(t))
	d := startConsumer(t, broker(t), always(rabbitmq.Done, ""))
	wrong := cfg
	wrong.Password = "wrong"
	if err := d.consumer.SetBroker(t.Context(), wrong); err == nil {
		t.Error("a wrong password is accepted")
	}
	if err := d.consumer.SetBroker(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	d.await("a connection through the proxy", func() bool {
		proxy.Stop() // ends the connection, if it goes through the proxy
		err := proxy.Start()
		return err == nil && errors.Is(d.consumer.Check(t.Context()), rabbitmq.ErrNotConnected)
	})
	d.publish("a", nil)
	d.await("a message", func() bool { return len(d.handled("a")) >= 1 })
}
