package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	minRetry = 100 * time.Millisecond
	maxRetry = 1200 * time.Millisecond // with the jitter of 50 % at most 1.8 s
	// reminderInterval is the time between two log messages during an outage.
	reminderInterval = 30 * time.Second
)

// stayConnected opens one session after another until ctx ends, and passes each to the function use. If use returns early,
// stayConnected waits until the session is lost. The delay between two sessions grows, and has jitter, so that the replicas do not
// reconnect at the same time.
func stayConnected(
	ctx context.Context, log *slog.Logger, open func(context.Context) (*session, error), use func(*session),
) {
	retry := &backoff.ExponentialBackOff{
		InitialInterval: minRetry, MaxInterval: maxRetry, Multiplier: 2, RandomizationFactor: 0.5,
	}
	outage := outage{log: log}
	for ctx.Err() == nil {
		opened := time.Now()
		s, err := open(ctx)
		if err == nil {
			outage.ended()
			err = s.run(ctx, use)
			if time.Since(opened) > maxRetry { // otherwise the delay grows, because the broker may drop each new connection
				retry.Reset()
			}
		}
		if ctx.Err() == nil {
			if !errors.Is(err, errClosed) {
				outage.failed(err)
			}
			sleep(ctx, retry.NextBackOff())
		}
	}
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// outage logs the start of an outage, reminders, and its end.
type outage struct {
	log    *slog.Logger
	start  time.Time // zero: no outage
	logged time.Time
}

func (o *outage) failed(err error) {
	now := time.Now()
	switch {
	case o.start.IsZero():
		o.start, o.logged = now, now
		o.log.Warn("no connection to RabbitMQ; retrying", "error", err)
	case now.Sub(o.logged) >= reminderInterval:
		o.logged = now
		o.log.Warn("still no connection to RabbitMQ", "for", now.Sub(o.start).Round(time.Second).String(), "error", err)
	}
}

func (o *outage) ended() {
	if o.start.IsZero() {
		o.log.Info("connected to RabbitMQ")
	} else {
		o.log.Info("connected to RabbitMQ again", "after", time.Since(o.start).Round(time.Millisecond).String())
	}
	o.start = time.Time{}
}
