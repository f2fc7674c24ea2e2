package rabbitmq_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
	"user-service/test/chaos/faultproxy"
)

// TestAHalfOpenConnectionIsGivenUpLongBeforeTheDeadline loses the connection of now: new ones work.
func TestAHalfOpenConnectionIsGivenUpLongBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	cfg := broker(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	p := start(t, at(t, cfg, proxy.Addr()), nil)
	publishAll(t, p, newEvents(t, typ, 20))

	if n := proxy.Lose(); n != 1 {
		t.Fatalf("%d connections are lost", n)
	}
	events := newEvents(t, typ, 20)
	began := time.Now()
	publishAll(t, p, events) // each call may take 30 s
	if took := time.Since(began); took > rabbitmq.ConfirmTime+2*slack {
		t.Errorf("the events were published after %s, want %s and a new connection", took, rabbitmq.ConfirmTime)
	}
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == 20+len(events) })
}

func TestASlowBrokerGetsMoreTime(t *testing.T) {
	t.Parallel()
	p := new(rabbitmq.Patience)
	wait := func(want time.Duration) {
		t.Helper()
		if got := p.Time(); got != want {
			t.Errorf("it waits for %s, want %s", got, want)
		}
	}
	wait(5 * time.Second)
	p.Confirmed(5 * time.Millisecond)
	wait(5 * time.Second)
	p.Confirmed(2 * time.Second)
	wait(6 * time.Second)
	p.Silent(6 * time.Second)
	wait(12 * time.Second)
	for range 10 { // each of which had waited for as long as it may
		p.Silent(p.Time())
	}
	wait(30 * time.Second)
	p.Confirmed(time.Millisecond)
	wait(5 * time.Second)
}

// TestAnIdleHalfOpenConnectionIsGivenUp publishes nothing.
func TestAnIdleHalfOpenConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	cfg := broker(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	seen := &observer{}
	p := start(t, at(t, cfg, proxy.Addr()), seen)
	proxy.Lose()
	began := time.Now()
	testkit.WaitFor(t, "another connection", func() bool { return len(seen.snapshot().connected) == 3 && p.Check(t.Context()) == nil })
	if took := time.Since(began); took > rabbitmq.ConfirmTime+time.Second+slack { // heartbeats take 15 s
		t.Errorf("there is another connection after %s, want %s and a second", took, rabbitmq.ConfirmTime)
	}
	if diff := cmp.Diff([]bool{true, false, true}, seen.snapshot().connected); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
}

// TestAnIdleConnectionIsKept waits for some probes.
func TestAnIdleConnectionIsKept(t *testing.T) {
	t.Parallel()
	network, cfg := newMouthpiece(t, broker(t))
	typ := randomType()
	p := start(t, cfg, nil)
	until := time.Now().Add(3 * time.Second)
	testkit.WaitFor(t, "the time of some probes", func() bool { return time.Now().After(until) })
	publishAll(t, p, newEvents(t, typ, 1))
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were needed, want the first one to be kept", n)
	}
}
