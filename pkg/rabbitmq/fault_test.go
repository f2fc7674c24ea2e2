package rabbitmq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// slack is the tolerance for a call on a busy machine.
const slack = 5 * time.Second

func TestConnectionCutInTheMiddle(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := proxied(t, broker(t))
	observed := &observer{}
	p := start(t, cfg, observed)
	events := newEvents(t, typ, 500)

	heal := addToxic(t, proxy, `{"name":"cut","type":"limit_data","stream":"upstream","attributes":{"bytes":100000}}`)
	errs := p.Publish(t.Context(), events)
	failed := unpublished(events, errs)
	if len(failed) == 0 || !errors.Is(errs[len(errs)-1], rabbitmq.ErrConnectionLost) {
		t.Fatalf("%d events failed, the last with %v; want ErrConnectionLost", len(failed), errs[len(errs)-1])
	}
	heal()
	publishAll(t, p, failed)

	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == len(events) })
	if diff := cmp.Diff(ids(events), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{true, false, true}, observed.snapshot().connected); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
}

func TestHalfOpenNetwork(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := proxied(t, broker(t))
	p := start(t, cfg, nil)
	events := newEvents(t, typ, 20)

	heal := dropPackets(t, proxy)
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	if took > limit+slack {
		t.Errorf("Publish took %s with a deadline of %s", took, limit)
	}
	for i, err := range errs {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("event %d: error %v, want context.DeadlineExceeded", i, err)
		}
	}
	if err := p.Check(t.Context()); !errors.Is(err, rabbitmq.ErrNotConnected) {
		t.Errorf("Check: %v, want ErrNotConnected", err)
	}
	heal()
	publishAll(t, p, events)
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == len(events) })
}

func TestHeartbeatsDetectASilentBroker(t *testing.T) {
	t.Parallel()
	proxy, cfg := proxied(t, broker(t))
	p := start(t, cfg.WithHeartbeat(time.Second), nil)

	heal := dropPackets(t, proxy)
	defer heal()
	testkit.WaitFor(t, "the missed heartbeats", func() bool { return errors.Is(p.Check(t.Context()), rabbitmq.ErrNotConnected) })
}

// TestStalledWrite fills all buffers between the client and a broker that does not read.
func TestStalledWrite(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newFakeBroker(t, broker(t))
	p := start(t, cfg, nil)
	events := enlarge(newEvents(t, typ, 40))

	resume := network.stopReading(t)
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	if took > limit+slack {
		t.Errorf("Publish took %s with a deadline of %s", took, limit)
	}
	if failed := unpublished(events, errs); len(failed) != len(events) {
		t.Errorf("%d events failed, want all", len(failed))
	}
	resume()
	publishAll(t, p, events)
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == len(events) })
	if diff := cmp.Diff(ids(events), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
}

func TestBrokerWithAnAlarm(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newFakeBroker(t, broker(t))
	observed := &observer{}
	p := start(t, cfg, observed)
	events := enlarge(newEvents(t, typ, 40))

	resume := network.stopReading(t)
	const reason = "low on memory"
	network.inject(t, 0, "\x00\x0a\x00\x3c"+string(rune(len(reason)))+reason) // connection.blocked
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	for i, err := range errs {
		if !errors.Is(err, rabbitmq.ErrBlocked) {
			t.Errorf("event %d: error %v, want ErrBlocked", i, err)
		}
	}
	if took > limit+slack {
		t.Errorf("Publish took %s with a deadline of %s", took, limit)
	}
	if err := p.Check(t.Context()); err == nil || err.Error() != "blocked by the broker: low on memory" {
		t.Errorf("Check: %v", err)
	}
	if errs, took := publishWithin(t, p, confirmTimeout, events); took > slack || !errors.Is(errs[0], rabbitmq.ErrBlocked) {
		t.Errorf("while blocked, Publish took %s and returned %v; want ErrBlocked immediately", took, errs[0])
	}

	network.inject(t, 0, "\x00\x0a\x00\x3d") // connection.unblocked
	resume()
	publishAll(t, p, events)
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == len(events) })
	if diff := cmp.Diff(ids(events), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were opened, want 1", n)
	}
}

func TestChannelClosedByTheBroker(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newFakeBroker(t, broker(t))
	p := start(t, cfg, nil)

	resume := network.stopReading(t)                                              // hides channel.close-ok from the real broker
	network.inject(t, 1, "\x00\x14\x00\x28\x01\x94\x09NOT_FOUND\x00\x3c\x00\x28") // channel.close with 404
	testkit.WaitFor(t, "the loss", func() bool { return p.Check(t.Context()) != nil })
	resume()
	testkit.WaitFor(t, "another connection", func() bool { return network.connections() == 2 && p.Check(t.Context()) == nil })
	noErrors(t, p.Publish(t.Context(), newEvents(t, typ, 1)))
	testkit.WaitFor(t, "the event", func() bool { return len(arrived.received()) == 1 })
}

func TestSlowBroker(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := proxied(t, broker(t))
	observed := &observer{}
	p := start(t, cfg, observed)
	events := newEvents(t, typ, 100)

	heal := addToxic(t, proxy, `{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":200}}`)
	defer heal()
	errs, took := publishWithin(t, p, confirmTimeout, events)
	noErrors(t, errs)
	if took > 5*time.Second {
		t.Errorf("Publish took %s, as if it waited for each confirm separately", took)
	}
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.received()) == len(events) })
	for _, latency := range observed.snapshot().confirmed {
		if latency < 150*time.Millisecond {
			t.Fatalf("a latency of %s with a network delay of 200 ms", latency)
		}
	}
}

func TestWrongPasswordUntilItIsRotated(t *testing.T) {
	t.Parallel()
	cfg := broker(t)
	correct, wrong := cfg, cfg
	wrong.Password = "hunter2-not-it"
	log := &testkit.Buffer{}
	p := rabbitmq.New(wrong, rabbitmq.Config{Log: slog.New(slog.NewJSONHandler(log, nil))})
	stop := run(t, p)

	testkit.WaitFor(t, "a refusal", func() bool { return strings.Contains(log.String(), "no connection") })
	if err := p.Check(t.Context()); !errors.Is(err, rabbitmq.ErrNotConnected) {
		t.Errorf("Check: %v, want ErrNotConnected", err)
	}
	if err := p.SetBroker(t.Context(), correct); err != nil {
		t.Error(err)
	}
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
	if err := p.SetBroker(t.Context(), wrong); err == nil || err.Error() != "is refused by the broker with the code 403" {
		t.Errorf("a wrong password: %v", err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("after a wrong password: %v", err)
	}
	stop()

	text := log.String()
	if strings.Contains(text, correct.Password) || strings.Contains(text, wrong.Password) {
		t.Errorf("a password is in the log:\n%s", text)
	}
	var messages []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var entry struct{ Level, Msg, Error string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, entry.Level+" "+entry.Msg)
		if entry.Level == "WARN" && !strings.Contains(entry.Error, "username or password not allowed") {
			t.Errorf("the log has the error %q", entry.Error)
		}
	}
	want := []string{
		"WARN no connection to RabbitMQ; retrying",
		"INFO connected to RabbitMQ again",
	}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestABrokerThatHasMoved changes the address of the broker while events are published.
func TestABrokerThatHasMoved(t *testing.T) {
	t.Parallel()
	current := broker(t)
	network, first := proxied(t, current)
	p := start(t, first, nil)
	unused := first
	unused.Port = 1 // nothing listens there
	if err := p.SetBroker(t.Context(), unused); err == nil || err.Error() != "does not lead to a broker that responds" {
		t.Errorf("an address without a broker: %v", err)
	}
	noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 1)))
	if err := p.SetBroker(t.Context(), current); err != nil {
		t.Fatal(err)
	}
	network.Stop()
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
	noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 1)))
}

// TestSettingsThatChangeDuringAHandshakeAreUsed changes the address while the first broker does not respond.
func TestSettingsThatChangeDuringAHandshakeAreUsed(t *testing.T) {
	t.Parallel()
	current := broker(t)
	network, first := newFakeBroker(t, current)
	resume := network.stopReading(t)
	p := rabbitmq.New(first, rabbitmq.Config{})
	run(t, p)
	testkit.WaitFor(t, "the first bytes", func() bool { return network.received() > 0 })
	if err := p.SetBroker(t.Context(), current); err != nil {
		t.Fatal(err)
	}
	resume()
	testkit.WaitFor(t, "an event that the first broker does not get", func() bool {
		before := network.received()
		return p.Publish(t.Context(), newEvents(t, randomType(), 1))[0] == nil && network.received() == before
	})
}

func TestCloseWhilePublishing(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	observed := &observer{}
	p := rabbitmq.New(broker(t), rabbitmq.Config{Observer: observed})
	stop := run(t, p)
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })

	var mu sync.Mutex
	confirmed := make(map[string]bool)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for p.Check(t.Context()) == nil {
				events := newEvents(t, typ, 200)
				errs := p.Publish(t.Context(), events)
				mu.Lock()
				for i, err := range errs {
					confirmed[events[i].ID.String()] = err == nil
				}
				mu.Unlock()
			}
		})
	}
	testkit.WaitFor(t, "traffic", func() bool { return len(observed.snapshot().confirmed) > 500 })
	start := time.Now()
	stop()
	if took := time.Since(start); took > 2*time.Second+slack {
		t.Errorf("Run took %s to end", took)
	}
	wg.Wait()

	for id, ok := range confirmed {
		if !ok {
			delete(confirmed, id)
		}
	}
	testkit.WaitFor(t, "every confirmed event", func() bool {
		missing := len(confirmed)
		for _, id := range arrived.firstArrivals() {
			if confirmed[id] {
				missing--
			}
		}
		return missing == 0
	})
	if err := p.Check(t.Context()); !errors.Is(err, rabbitmq.ErrNotConnected) {
		t.Errorf("Check: %v, want ErrNotConnected", err)
	}
}

// TestRunEndsWithoutAResponse ends Run when the broker no longer responds.
func TestRunEndsWithoutAResponse(t *testing.T) {
	t.Parallel()
	proxy, cfg := proxied(t, broker(t))
	p := rabbitmq.New(cfg, rabbitmq.Config{})
	stop := run(t, p)
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })

	heal := dropPackets(t, proxy)
	defer heal()
	start := time.Now()
	stop()
	if took := time.Since(start); took > 2*time.Second+slack {
		t.Errorf("Run took %s to end, want 2 s", took)
	}
}

// TestRunEndsWhileConnecting ends Run during a handshake without a response.
func TestRunEndsWhileConnecting(t *testing.T) {
	t.Parallel()
	network, cfg := newFakeBroker(t, broker(t))
	resume := network.stopReading(t)
	p := rabbitmq.New(cfg, rabbitmq.Config{})
	stop := run(t, p)
	testkit.WaitFor(t, "a connect", func() bool { return network.connections() == 1 })

	start := time.Now()
	stop()
	if took := time.Since(start); took > slack {
		t.Errorf("Run took %s to end", took)
	}
	resume()
}

// publishWithin publishes with a deadline, and returns the time that it took.
func publishWithin(t *testing.T, p *rabbitmq.Publisher, limit time.Duration, events []event.Event) ([]error, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	errs := p.Publish(ctx, events)
	return errs, time.Since(start)
}

// publishAll publishes like the outbox: it retries the failed events in order until all are confirmed.
func publishAll(t *testing.T, p *rabbitmq.Publisher, events []event.Event) {
	t.Helper()
	testkit.WaitFor(t, "confirms of the remaining events", func() bool {
		events = unpublished(events, p.Publish(t.Context(), events))
		return len(events) == 0
	})
}

// unpublished returns the events that have an error.
func unpublished(events []event.Event, errs []error) []event.Event {
	var failed []event.Event
	for i, err := range errs {
		if err != nil {
			failed = append(failed, events[i])
		}
	}
	return failed
}

// enlarge sets 400 KiB of data for each event, so that a few events fill the buffers of a connection.
func enlarge(events []event.Event) []event.Event {
	for i := range events {
		events[i].Data = json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", 400<<10)))
	}
	return events
}
