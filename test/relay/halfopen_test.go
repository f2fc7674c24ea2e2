package relay_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/faultproxy"
)

// TestEventsFlowSoonAfterAFaultOfTheBrokersNetwork connects both relays to the broker through one proxy, which breaks their connections in
// several ways. Events must arrive soon after the end of each fault. A fault ends when new connections work again. So a fault that makes
// the open connections half-open ends immediately.
func TestEventsFlowSoonAfterAFaultOfTheBrokersNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived := w.consume() // not through the broken network
	proxy, err := faultproxy.New(net.JoinHostPort(w.cfg.Host, strconv.Itoa(w.cfg.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	host, port, err := net.SplitHostPort(proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Host = host
	if w.cfg.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	users := w.users(50)
	w.run()
	before := w.announce("before", 10, users...)
	w.eventually("the events before a fault", func() bool { return arrived.has(before...) })
	for _, fault := range []struct {
		name string
		do   func() // returns after the fault
		most time.Duration
	}{
		{"cut", func() { proxy.Refuse(true); proxy.Cut(); testkit.Pause(t.Context(), time.Second); proxy.Refuse(false) }, 2 * time.Second},
		{"stalled", func() { proxy.Stall(); testkit.Pause(t.Context(), 2*time.Second); proxy.Resume() }, 2 * time.Second},
		{"half-open", func() { proxy.Lose() }, 6 * time.Second},
		{"frozen", func() { proxy.Freeze() }, 6 * time.Second},
	} {
		ids := w.announce(fault.name+"-before", 10, users...)
		fault.do()
		healed := time.Now()
		ids = append(ids, w.announce(fault.name+"-after", 10, users...)...)
		w.eventually("the events of "+fault.name, func() bool { return arrived.has(ids...) })
		took := time.Since(healed)
		t.Logf("%s: events arrived %s after the end", fault.name, took.Round(time.Millisecond))
		if took > fault.most+slack {
			t.Errorf("%s: events arrived %s after the end, want at most %s", fault.name, took, fault.most)
		}
	}
}

// slack is the additional time for a busy machine.
const slack = 5 * time.Second
