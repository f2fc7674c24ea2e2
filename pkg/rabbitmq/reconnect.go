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
	// remindEvery is how often the log tells that the broker is still away.
	remindEvery = 30 * time.Second
)

// stayConnected opens one session after the other until ctx ends, and gives each to use, which
// may return before the session is lost. Between two of them is a growing, jittered pause, so that
// a broker that comes back is not met by all replicas at once.
func stayConnected(ctx context.Context, log *slog.Logger, open func(context.Context) (*session, error), use func(*session)) {
	retry := &backoff.ExponentialBackOff{
		InitialInterval: minRetry, MaxInterval: maxRetry, Multiplier: 2, RandomizationFactor: 0.5,
	}
	outage := outage{log: log}
	for ctx.Err() == nil {
		opened := time.Now()
		s, err := open(ctx)
		if err == nil {
			outage.over()
			err = s.hold(ctx, use)
			if time.Since(opened) > maxRetry { // else it may be a broker that drops us at once
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

// outage logs the broker's absence without flooding: its begin, a reminder now and
// then, its end.
type outage struct {
	log    *slog.Logger
	began  time.Time // zero while there is none
	logged time.Time
}

func (o *outage) failed(err error) {
	now := time.Now()
	switch {
	case o.began.IsZero():
		o.began, o.logged = now, now
		o.log.Warn("no connection to RabbitMQ; trying again until there is one", "error", err)
	case now.Sub(o.logged) >= remindEvery:
		o.logged = now
		o.log.Warn("still no connection to RabbitMQ", "for", now.Sub(o.began).Round(time.Second).String(), "error", err)
	}
}

func (o *outage) over() {
	if o.began.IsZero() {
		o.log.Info("connected to RabbitMQ")
	} else {
		o.log.Info("connected to RabbitMQ again", "after", time.Since(o.began).Round(time.Millisecond).String())
	}
	o.began = time.Time{}
}
