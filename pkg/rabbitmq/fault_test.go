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

// slack is what a call may take beyond its deadline on a busy machine.
const slack = 5 * time.Second

func TestConnectionCutInTheMiddle(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := through(t, broker(t))
	seen := &observer{}
	p := start(t, cfg, seen)
	events := newEvents(t, typ, 500)

	heal := poison(t, proxy, `{"name":"cut","type":"limit_data","stream":"upstream","attributes":{"bytes":100000}}`)
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
	if diff := cmp.Diff([]bool{true, false, true}, seen.snapshot().connected); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
}

func TestHalfOpenNetwork(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := through(t, broker(t))
	p := start(t, cfg, nil)
	events := newEvents(t, typ, 20)

	heal := silence(t, proxy)
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	if took > limit+slack {
		t.Errorf("Publish took %s of the %s it had", took, limit)
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

func TestSilentDeathIsNoticedByHeartbeats(t *testing.T) {
	t.Parallel()
	proxy, cfg := through(t, broker(t))
	p := start(t, cfg.WithHeartbeat(time.Second), nil)

	heal := silence(t, proxy)
	defer heal()
	testkit.WaitFor(t, "the heartbeat's alarm", func() bool { return errors.Is(p.Check(t.Context()), rabbitmq.ErrNotConnected) })
}

// TestStalledWrite fills all buffers on the way to a broker that reads no more.
func TestStalledWrite(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newMouthpiece(t, broker(t))
	p := start(t, cfg, nil)
	events := fatten(newEvents(t, typ, 40))

	hear := network.goDeaf(t)
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	if took > limit+slack {
		t.Errorf("Publish took %s of the %s it had", took, limit)
	}
	if failed := unpublished(events, errs); len(failed) != len(events) {
		t.Errorf("%d events failed, want all", len(failed))
	}
	hear()
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
	network, cfg := newMouthpiece(t, broker(t))
	seen := &observer{}
	p := start(t, cfg, seen)
	events := fatten(newEvents(t, typ, 40))

	hear := network.goDeaf(t)
	const reason = "low on memory"
	network.say(t, 0, "\x00\x0a\x00\x3c"+string(rune(len(reason)))+reason) // connection.blocked
	const limit = 300 * time.Millisecond
	errs, took := publishWithin(t, p, limit, events)
	for i, err := range errs {
		if !errors.Is(err, rabbitmq.ErrBlocked) {
			t.Errorf("event %d: error %v, want ErrBlocked", i, err)
		}
	}
	if took > limit+slack {
		t.Errorf("Publish took %s of the %s it had", took, limit)
	}
	if err := p.Check(t.Context()); err == nil || err.Error() != "blocked by the broker: low on memory" {
		t.Errorf("Check: %v", err)
	}
	if errs, took := publishWithin(t, p, confirmTimeout, events); took > slack || !errors.Is(errs[0], rabbitmq.ErrBlocked) {
		t.Errorf("while blocked, Publish took %s and said %v; want ErrBlocked at once", took, errs[0])
	}

	network.say(t, 0, "\x00\x0a\x00\x3d") // connection.unblocked
	hear()
	publishAll(t, p, events)
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == len(events) })
	if diff := cmp.Diff(ids(events), arrived.firstArrivals()); diff != "" {
		t.Errorf("order of first arrivals (-want +got):\n%s", diff)
	}
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were needed, want the first one to be kept", n)
	}
}

func TestChannelClosedByTheBroker(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	network, cfg := newMouthpiece(t, broker(t))
	p := start(t, cfg, nil)

	hear := network.goDeaf(t)                                                  // the real broker has closed nothing, and would be baffled by the answer
	network.say(t, 1, "\x00\x14\x00\x28\x01\x94\x09NOT_FOUND\x00\x3c\x00\x28") // channel.close with 404
	testkit.WaitFor(t, "the loss", func() bool { return p.Check(t.Context()) != nil })
	hear()
	testkit.WaitFor(t, "another connection", func() bool { return network.connections() == 2 && p.Check(t.Context()) == nil })
	noErrors(t, p.Publish(t.Context(), newEvents(t, typ, 1)))
	testkit.WaitFor(t, "the event", func() bool { return len(arrived.received()) == 1 })
}

func TestSlowBroker(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	proxy, cfg := through(t, broker(t))
	seen := &observer{}
	p := start(t, cfg, seen)
	events := newEvents(t, typ, 100)

	heal := poison(t, proxy, `{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":200}}`)
	defer heal()
	errs, took := publishWithin(t, p, confirmTimeout, events)
	noErrors(t, errs)
	if took > 5*time.Second {
		t.Errorf("Publish took %s: a round trip for each event instead of one for all?", took)
	}
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.received()) == len(events) })
	for _, latency := range seen.snapshot().confirmed {
		if latency < 150*time.Millisecond {
			t.Fatalf("a latency of %s was told, of a broker that takes 200 ms", latency)
		}
	}
}

func TestWrongPasswordUntilItIsRotated(t *testing.T) {
	t.Parallel()
	cfg := broker(t)
	right, wrong := cfg, cfg
	wrong.Password = "hunter2-not-it"
	log := &testkit.Buffer{}
	p := rabbitmq.New(wrong, slog.New(slog.NewJSONHandler(log, nil)), nil)
	stop := run(t, p)

	testkit.WaitFor(t, "a refusal", func() bool { return strings.Contains(log.String(), "no connection") })
	if err := p.Check(t.Context()); !errors.Is(err, rabbitmq.ErrNotConnected) {
		t.Errorf("Check: %v, want ErrNotConnected", err)
	}
	if err := p.SetConfig(t.Context(), right); err != nil {
		t.Error(err)
	}
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
	if err := p.SetConfig(t.Context(), wrong); err == nil || err.Error() != "is refused by the broker with the code 403" {
		t.Errorf("a password that does not work: %v", err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("after a password that does not work: %v", err)
	}
	stop()

	text := log.String()
	if strings.Contains(text, right.Password) || strings.Contains(text, wrong.Password) {
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
			t.Errorf("the log does not tell why: %q", entry.Error)
		}
	}
	want := []string{
		"WARN no connection to RabbitMQ; trying again until there is one",
		"INFO connected to RabbitMQ again",
	}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestABrokerThatHasMoved takes the broker away from its first address, while events are published.
func TestABrokerThatHasMoved(t *testing.T) {
	t.Parallel()
	now := broker(t)
	network, first := through(t, now)
	p := start(t, first, nil)
	elsewhere := first
	elsewhere.Port = 1 // nobody listens there
	if err := p.SetConfig(t.Context(), elsewhere); err == nil || err.Error() != "leads to no broker that answers" {
		t.Errorf("an address without a broker: %v", err)
	}
	noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 1)))
	if err := p.SetConfig(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	network.Stop()
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
	noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 1)))
}

// TestSettingsThatChangeWhileAConnectionIsMadeCount changes the address while the broker at the first one takes its time.
func TestSettingsThatChangeWhileAConnectionIsMadeCount(t *testing.T) {
	t.Parallel()
	now := broker(t)
	network, first := newMouthpiece(t, now)
	hear := network.goDeaf(t)
	p := rabbitmq.New(first, slog.New(slog.DiscardHandler), nil)
	run(t, p)
	testkit.WaitFor(t, "the first word", func() bool { return network.said() > 0 })
	if err := p.SetConfig(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	hear()
	testkit.WaitFor(t, "a publishing that the first address does not see", func() bool {
		before := network.said()
		return p.Publish(t.Context(), newEvents(t, randomType(), 1))[0] == nil && network.said() == before
	})
}

func TestCloseWhilePublishing(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	seen := &observer{}
	p := rabbitmq.New(broker(t), slog.New(slog.DiscardHandler), seen)
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
	testkit.WaitFor(t, "traffic", func() bool { return len(seen.snapshot().confirmed) > 500 })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*time.Second+slack {
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

// TestEndWithoutAnAnswer ends Run when the broker can't hear the farewell any more.
func TestEndWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	proxy, cfg := through(t, broker(t))
	p := rabbitmq.New(cfg, slog.New(slog.DiscardHandler), nil)
	stop := run(t, p)
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })

	heal := silence(t, proxy)
	defer heal()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*time.Second+slack {
		t.Errorf("Run took %s to end, want 2 s", took)
	}
}

// TestEndWhileConnecting ends Run in the middle of a handshake that gets no answer.
func TestEndWhileConnecting(t *testing.T) {
	t.Parallel()
	network, cfg := newMouthpiece(t, broker(t))
	hear := network.goDeaf(t)
	p := rabbitmq.New(cfg, slog.New(slog.DiscardHandler), nil)
	stop := run(t, p)
	testkit.WaitFor(t, "a try", func() bool { return network.connections() == 1 })

	began := time.Now()
	stop()
	if took := time.Since(began); took > slack {
		t.Errorf("Run took %s to end", took)
	}
	hear()
}

// publishWithin publishes with a deadline and tells how long it took.
func publishWithin(t *testing.T, p *rabbitmq.Publisher, limit time.Duration, events []event.Event) ([]error, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	errs := p.Publish(ctx, events)
	return errs, time.Since(began)
}

// publishAll publishes as the outbox does: what failed again, in order, until all is confirmed.
func publishAll(t *testing.T, p *rabbitmq.Publisher, events []event.Event) {
	t.Helper()
	testkit.WaitFor(t, "a broker that takes the rest", func() bool {
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

// fatten gives each event 400 KiB of data, so that a few of them fill the buffers of a connection.
func fatten(events []event.Event) []event.Event {
	for i := range events {
		events[i].Data = json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", 400<<10)))
	}
	return events
}
