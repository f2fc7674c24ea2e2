package rabbitmq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
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

// suffixes are those of the names of the queues.
var suffixes = []string{"", ".parked", ".retry", ".delay.50ms", ".delay.100ms", ".delay.1h"}

// fixture is a Consumer with queues of its own.
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
}

func (d *fixture) Connected(bool) {}

func (d *fixture) QueueLengths(ready, retrying, parked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lengths = [3]int{ready, retrying, parked}
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

// handled returns the attempts at a message.
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

// TestARetryComesAfterADelay: each attempt has its delay, and the last delay applies to all further attempts.
func TestARetryComesAfterADelay(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var times []time.Time
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		mu.Lock()
		defer mu.Unlock()
		if times = append(times, time.Now()); len(times) < 5 {
			return rabbitmq.Retry, "not yet"
		}
		return rabbitmq.Done, ""
	})
	d.publish("a", nil)
	d.await("five attempts", func() bool { return len(d.handled("a")) == 5 })
	d.stop()
	for i := range 4 {
		if pause, least := times[i+1].Sub(times[i]), retries[min(i, 1)]; pause < least {
			t.Errorf("attempt %d came after %s, want at least %s", i+2, pause, least)
		}
	}
	jobs := d.handled("a")
	if jobs[0].Age != 0 || jobs[1].Age == 0 {
		t.Errorf("the ages of the first attempts are %s and %s", jobs[0].Age, jobs[1].Age)
	}
}

// TestDeferralsGrow: the second one takes an hour. The retries before and between do not count.
func TestDeferralsGrow(t *testing.T) {
	t.Parallel()
	answers := []rabbitmq.Disposition{rabbitmq.Retry, rabbitmq.Retry, rabbitmq.Defer, rabbitmq.Retry, rabbitmq.Defer}
	var mu sync.Mutex
	d := startConsumer(t, broker(t), func(string) (rabbitmq.Disposition, string) {
		mu.Lock()
		defer mu.Unlock()
		next := answers[0]
		answers = answers[1:]
		return next, "not yet"
	})
	d.publish("a", nil)
	d.await("a message that waits for an hour", func() bool { return d.length(d.queue.Name+".delay.1h") == 1 })
	if n := len(d.handled("a")); n != 5 {
		t.Errorf("the message was handled %d times, want 5", n)
	}
}

// TestRetriesDoNotDelayFirstAttempts: retries that take long have workers of their own.
func TestRetriesDoNotDelayFirstAttempts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	attempts := map[string]int{}
	var mu sync.Mutex
	d := startConsumer(t, broker(t), func(body string) (rabbitmq.Disposition, string) {
		mu.Lock()
		attempts[body]++
		again := attempts[body] > 1
		mu.Unlock()
		if body[0] == 's' && again {
			<-release
			return rabbitmq.Done, ""
		}
		if body[0] == 's' {
			return rabbitmq.Defer, "slow"
		}
		return rabbitmq.Done, ""
	})
	defer close(release)
	for n := range 10 {
		d.publish(fmt.Sprint("s", n), nil)
	}
	d.await("a retry that takes long", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range attempts {
			if n > 1 {
				return true
			}
		}
		return false
	})
	for n := range 20 {
		d.publish(fmt.Sprint("f", n), nil)
		d.await("a first attempt", func() bool { return len(d.handled(fmt.Sprint("f", n))) == 1 })
	}
}

// TestOnlyAPartOfAMessageIsStored: the rest is personal data.
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

// TestAPanicParksTheMessage: otherwise the message would end process after process.
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

// TestObsoleteParkedMessagesAreRemoved: the others stay, also those about which nothing is known.
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
	d.start(broker(t)) // it checks the messages after the connect
	// While a message is checked, the length does not count it.
	d.await("one message", func() bool { return checked.Load() == 3 && d.length(d.queue.Name+".parked") == 1 })
	d.stop()
	d.obsolete = func(string) (bool, error) { return true, errors.New("no answer") }
	d.start(broker(t))
	d.stop()
	if m := d.parked(); string(m.Body) != "kept" {
		t.Errorf("%s is left", m.Body)
	}
}

// TestParkedMessagesAreLimited: the queue has a limit in bytes, and its messages expire.
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

func TestTheAgeIsThatOfTheFirstAttempt(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), func(body string) (rabbitmq.Disposition, string) {
		if body == "old" {
			return rabbitmq.Park, "too old"
		}
		return rabbitmq.Done, ""
	})
	first := time.Now().Add(-25 * time.Hour).UTC().Format(time.RFC3339)
	d.publish("old", amqp.Table{"x-attempts": int64(7), "x-first-attempt": first, "traceparent": "00-a", "x-death": "ignored"})
	m := d.parked()
	if age := d.handled("old")[0].Age; age < 25*time.Hour-time.Minute || age > 26*time.Hour {
		t.Errorf("the age is %s", age)
	}
	for name, want := range map[string]any{
		"x-parked-reason": "too old", "x-parked-attempts": int64(8), "x-parked-first-attempt": first, "traceparent": "00-a",
		"x-attempts": nil, "x-first-attempt": nil, "x-death": nil,
	} {
		if m.Headers[name] != want {
			t.Errorf("the header %s is %v, want %v", name, m.Headers[name], want)
		}
	}
	if string(m.Body) != "old" || m.MessageId != "old" || m.DeliveryMode != amqp.Persistent {
		t.Errorf("the parked message is %+v", m)
	}
	d.publish("again", m.Headers) // an operator moves the message back
	d.await("the requeued message", func() bool { return len(d.handled("again")) == 1 })
	if age := d.handled("again")[0].Age; age > time.Minute {
		t.Errorf("the age of a requeued message is %s", age)
	}
	d.publish("strange", amqp.Table{"x-attempts": "many", "x-first-attempt": int64(5)})
	d.await("a message with other headers", func() bool { return len(d.handled("strange")) == 1 })
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

// TestAMessageOfADeadProcessIsDeliveredAgain: the connection ends in a handler.
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

// TestAShutdownFinishesWhatRuns: no further message is handled, and the others stay in the queue.
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
	receive(t, entered) // both workers
	stopped := make(chan struct{})
	go func() { defer close(stopped); d.stop() }()
	close(release)
	receive(t, stopped)
	if n := len(d.jobs); n != 2 {
		t.Errorf("%d messages were handled, want 2", n)
	}
	d.await("all messages in the queues", func() bool { return d.length(d.queue.Name) == 3 && d.length(d.queue.Name+".retry") == 2 })
}

// TestAShutdownAbortsWhatTakesTooLong: the context of the handler ends after the grace.
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

// TestDeletedQueuesAreDeclaredAgain: a message that no queue accepts must not be acknowledged.
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
	for range 2 { // a list changes nothing
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

func TestQueueLengths(t *testing.T) {
	t.Parallel()
	d := startConsumer(t, broker(t), always(rabbitmq.Park, "enough"))
	d.publish("a", nil)
	d.publish("b", nil)
	d.await("parked messages", func() bool { return d.length(d.queue.Name+".parked") == 2 })
	d.stop()
	d.start(broker(t)) // the lengths are measured at the connect
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
