package user

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

func TestNetworkOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"198.51.100.7":             "198.51.100.0/24",
		"::ffff:198.51.100.7":      "198.51.100.0/24",
		"2001:db8:1:2ff:3:4:5:6":   "2001:db8:1:200::/56",
		"2001:db8:1:200::":         "2001:db8:1:200::/56",
		"fe80::1%eth0":             "fe80::/56",
		"::":                       "::/56",
		"0.0.0.0":                  "0.0.0.0/24",
		"2001:db8:ffff:ffff:f::ff": "2001:db8:ffff:ff00::/56",
	} {
		if got := NetworkOf(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("the network of %s is %s, want %s", addr, got, want)
		}
	}
	if got := NetworkOf(netip.Addr{}).String(); got != "0.0.0.0/0" {
		t.Errorf("the network without an address is %s, want 0.0.0.0/0", got)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	now := login
	inForce := FailureCount{Count: 7, BlockedUntil: now.Add(time.Minute)}
	ended := FailureCount{Count: 7, BlockedUntil: now}
	longest := FailureCount{Count: 7, BlockedUntil: now.Add(longestWait)}
	setBack := FailureCount{Count: 7, BlockedUntil: now.Add(longestWait + time.Second)} // the clock was set back
	s := &Service{cfg: Config{MaxFailures: 5}}
	for name, c := range map[string]struct {
		failures LoginFailures
		service  *Service
		blocked  bool
	}{
		"none":                              {LoginFailures{}, s, false},
		"of the network":                    {LoginFailures{Network: inForce}, s, true},
		"of a known network":                {LoginFailures{Network: inForce, Known: true}, s, true},
		"of all networks":                   {LoginFailures{Network: ended, Total: inForce}, s, true},
		"of all networks, from a known one": {LoginFailures{Total: inForce, Known: true}, s, false},
		"ended":                             {LoginFailures{Network: ended, Total: ended}, s, false},
		"the longest":                       {LoginFailures{Network: longest}, s, true},
		"the clock was set back":            {LoginFailures{Network: setBack, Total: setBack}, s, false},
		"the clock was set back, of all networks": {LoginFailures{Network: setBack, Total: inForce}, s, true},
		"disabled": {LoginFailures{Network: inForce, Total: inForce}, &Service{}, false},
	} {
		c.failures.Now = now
		if err := c.service.backoffError(c.failures); (err != nil) != c.blocked {
			t.Errorf("%s: %v, want a refusal: %t", name, err, c.blocked)
		}
	}
}

func TestBackoffGrowsWithFailures(t *testing.T) {
	t.Parallel()
	s := &Service{cfg: Config{MaxFailures: 5}}
	for name, c := range map[string]struct {
		network, total int // earlier failures
		known          bool
		wait           time.Duration // the backoff of the network
		shared         bool          // whether all networks have a backoff
	}{
		"the fourth":                      {3, 3, false, 0, false},
		"the fifth":                       {4, 4, false, time.Minute, false},
		"the sixth":                       {5, 5, false, 2 * time.Minute, false},
		"the seventh":                     {6, 6, false, 4 * time.Minute, false},
		"the eighth":                      {7, 7, false, 8 * time.Minute, false},
		"the ninth":                       {8, 8, false, 15 * time.Minute, false},
		"the thousandth":                  {999, 50, false, 15 * time.Minute, false},
		"the 99th of all":                 {0, 98, false, 0, false},
		"the 100th of all":                {0, 99, false, 0, true},
		"the 200th of all":                {4, 199, false, time.Minute, true},
		"the 100th, from a known network": {0, 99, true, 0, false},
	} {
		before := LoginFailures{Network: FailureCount{Count: c.network}, Total: FailureCount{Count: c.total}, Known: c.known, Now: login}
		got, until := s.countFailure(before)
		want := LoginFailures{
			Network: FailureCount{Count: c.network + 1}, Total: FailureCount{Count: c.total + 1},
			Known: c.known, Now: login,
		}
		var end time.Time
		if c.wait > 0 {
			end = login.Add(c.wait)
			want.Network.BlockedUntil = end
		}
		if c.shared {
			end = login.Add(15 * time.Minute)
			want.Total.BlockedUntil = end
		}
		if got != want || !until.Equal(end) {
			t.Errorf("%s: %+v until %s, want %+v until %s", name, got, until, want, end)
		}
	}
}

// TestAnAttemptHasTimeToBeRecorded checks how much time remains for recording an attempt. It checks this after the deadline of the
// request, after the client has disconnected, and well before the deadline.
func TestAnAttemptHasTimeToBeRecorded(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Minute))
	defer cancel()
	for name, ctx := range map[string]context.Context{"after the deadline": over, "disconnected": canceled(t.Context())} {
		counting, cancel := withTimeToCount(ctx)
		if end, ok := counting.Deadline(); counting.Err() != nil || ok && time.Until(end) > countTime {
			t.Errorf("%s: error %v and deadline %s, want no error and at most %s", name, counting.Err(), end, countTime)
		}
		cancel()
	}
	later, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	counting, cancel := withTimeToCount(later)
	defer cancel()
	if end, _ := counting.Deadline(); time.Until(end) < 59*time.Minute {
		t.Errorf("the deadline is %s, want the deadline of the request, in an hour", end)
	}
}

func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
