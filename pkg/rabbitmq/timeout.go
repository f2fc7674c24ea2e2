package rabbitmq

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// confirmTime is how long the broker may confirm nothing while events wait for that. A connection that is half-open is known
	// to be so after it; its heartbeats tell only much later.
	confirmTime = 5 * time.Second
	// slower is how much longer than the last confirm the next one may take.
	slower = 3
)

// errSilent is why a connection is given up on which no confirm and no other answer comes.
var errSilent = errors.New("no answer of the broker in time")

// confirmTimeout is how long to wait for the next confirm. A broker that is slow, but not away, gets more time, or its events would
// be published again and again. The zero value waits for confirmTime.
type confirmTimeout struct{ more atomic.Int64 }

func (p *confirmTimeout) time() time.Duration { return max(confirmTime, time.Duration(p.more.Load())) }

// confirmed notes how long a confirm took.
func (p *confirmTimeout) confirmed(latency time.Duration) { p.more.Store(int64(slower * latency)) }

// silent notes that there was no confirm for so long.
func (p *confirmTimeout) silent(waited time.Duration) {
	p.more.Store(int64(min(2*waited, publishTimeout)))
}

// listen returns a context that ends when no confirm comes for the time of patience, unless the broker says that it blocks, and what to
// call at each confirm and at the end.
func (p *confirmTimeout) listen(ctx context.Context, s *session) (listening context.Context, heard, stop func()) {
	listening, cancel := context.WithCancelCause(ctx)
	limit := p.time()
	timer := time.AfterFunc(limit, func() {
		if errors.Is(s.check(), ErrBlocked) { // what was sent is published when that ends: to send it again would double it
			return
		}
		p.silent(limit)
		cancel(errSilent)
	})
	return listening, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}
