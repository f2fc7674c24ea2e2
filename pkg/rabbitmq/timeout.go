package rabbitmq

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// confirmTime is the time without a confirm after which a connection counts as half-open. Heartbeats detect it much later.
	confirmTime = 5 * time.Second
	// A confirm may take latencyFactor times the latency of the confirm before it, or confirmTime if that is longer.
	latencyFactor = 3
)

// errNoResponse ends a session whose broker has sent no confirm or other response in time.
var errNoResponse = errors.New("no response from the broker in time")

// confirmTimeout is the timeout for the next confirm. It grows when the broker is slow. Otherwise the same events would time out and be
// published again and again. The zero value means confirmTime.
type confirmTimeout struct{ extended atomic.Int64 }

func (c *confirmTimeout) time() time.Duration {
	return max(confirmTime, time.Duration(c.extended.Load()))
}

// confirmed records the latency of a confirm.
func (c *confirmTimeout) confirmed(latency time.Duration) {
	c.extended.Store(int64(latencyFactor * latency))
}

// timedOut records that no confirm came in this time.
func (c *confirmTimeout) timedOut(waited time.Duration) {
	c.extended.Store(int64(min(2*waited, publishTimeout)))
}

// watch returns a context that ends when no confirm comes before the timeout, unless the broker blocks. Call extend after each confirm,
// and stop at the end.
func (c *confirmTimeout) watch(ctx context.Context, s *session) (confirmCtx context.Context, extend, stop func()) {
	confirmCtx, cancel := context.WithCancelCause(ctx)
	limit := c.time()
	timer := time.AfterFunc(limit, func() {
		if errors.Is(s.check(), ErrBlocked) { // the events are published when the broker unblocks; resending would duplicate them
			return
		}
		c.timedOut(limit)
		cancel(errNoResponse)
	})
	return confirmCtx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}
