package rabbitmq_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/rabbitmq"
)

// TestARetryComesAfterADelay checks the delay before each attempt. The last delay applies to all further attempts.
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

// TestDeferralsGrow checks that the second deferral takes an hour. The retries before it do not count as deferrals.
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

// TestRetriesDoNotDelayFirstAttempts checks that first attempts are made while retries keep all their own workers busy.
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
	d.publish("again", m.Headers) // as if an operator moved the message back
	d.await("the requeued message", func() bool { return len(d.handled("again")) == 1 })
	if age := d.handled("again")[0].Age; age > time.Minute {
		t.Errorf("the age of a requeued message is %s", age)
	}
	d.publish("strange", amqp.Table{"x-attempts": "many", "x-first-attempt": int64(5)})
	d.await("a message with other headers", func() bool { return len(d.handled("strange")) == 1 })
}
