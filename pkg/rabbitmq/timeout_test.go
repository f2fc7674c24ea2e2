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

// TestAHalfOpenConnectionIsClosedLongBeforeTheDeadline makes the current connection half-open. New connections work.
func TestAHalfOpenConnectionIsClosedLongBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	typ := randomType()
	arrived := consume(t, typ)
	cfg := broker(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	p := start(t, withAddress(t, cfg, proxy.Addr()), nil)
	publishAll(t, p, newEvents(t, typ, 20))

	if n := proxy.Lose(); n != 1 {
		t.Fatalf("%d connections are half-open, want 1", n)
	}
	events := newEvents(t, typ, 20)
	start := time.Now()
	publishAll(t, p, events) // each call may take 30 s
	if took := time.Since(start); took > rabbitmq.ConfirmTime+2*slack {
		t.Errorf("the events were published after %s, want %s plus a reconnect", took, rabbitmq.ConfirmTime)
	}
	testkit.WaitFor(t, "every event", func() bool { return len(arrived.firstArrivals()) == 20+len(events) })
}

func TestASlowBrokerGetsMoreTime(t *testing.T) {
	t.Parallel()
	c := new(rabbitmq.ConfirmTimeout)
	wantTimeout := func(want time.Duration) {
		t.Helper()
		if got := c.Time(); got != want {
			t.Errorf("the timeout is %s, want %s", got, want)
		}
	}
	wantTimeout(5 * time.Second)
	c.Confirmed(5 * time.Millisecond)
	wantTimeout(5 * time.Second)
	c.Confirmed(2 * time.Second)
	wantTimeout(6 * time.Second)
	c.TimedOut(6 * time.Second)
	wantTimeout(12 * time.Second)
	for range 10 { // each confirm comes too late
		c.TimedOut(c.Time())
	}
	wantTimeout(30 * time.Second)
	c.Confirmed(time.Millisecond)
	wantTimeout(5 * time.Second)
}

// TestAnIdleHalfOpenConnectionIsClosed checks that the probe detects such a connection.
func TestAnIdleHalfOpenConnectionIsClosed(t *testing.T) {
	t.Parallel()
	cfg := broker(t)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	observed := &observer{}
	p := start(t, withAddress(t, cfg, proxy.Addr()), observed)
	proxy.Lose()
	start := time.Now()
	testkit.WaitFor(t, "another connection", func() bool { return len(observed.snapshot().connected) == 3 && p.Check(t.Context()) == nil })
	if took := time.Since(start); took > rabbitmq.ConfirmTime+time.Second+slack { // heartbeats would need 15 s to detect it
		t.Errorf("the next connection was opened after %s, want %s plus a second", took, rabbitmq.ConfirmTime)
	}
	if diff := cmp.Diff([]bool{true, false, true}, observed.snapshot().connected); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
}

// TestAnIdleConnectionIsKept checks that probes do not close a working connection.
func TestAnIdleConnectionIsKept(t *testing.T) {
	t.Parallel()
	network, cfg := newFakeBroker(t, broker(t))
	typ := randomType()
	p := start(t, cfg, nil)
	until := time.Now().Add(3 * time.Second)
	testkit.WaitFor(t, "some probes", func() bool { return time.Now().After(until) })
	publishAll(t, p, newEvents(t, typ, 1))
	if n := network.connections(); n != 1 {
		t.Errorf("%d connections were opened, want 1", n)
	}
}
