package rabbitmq

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnOutageIsLoggedOnceWithReminders uses a fake clock.
func TestAnOutageIsLoggedOnceWithReminders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := outage{log: slog.New(slog.NewTextHandler(&log, nil))}
		count := func(message string) int { return strings.Count(log.String(), message) }

		o.ended()
		for range 125 { // seconds
			o.failed(errors.New("refused"))
			<-time.After(time.Second)
		}
		if first, still := count("; retrying"), count("still no connection"); first != 1 || still != 4 {
			t.Errorf("%d first lines and %d reminders in 125 s, want 1 and 4:\n%s", first, still, &log)
		}
		o.ended()
		if !strings.Contains(log.String(), `msg="connected to RabbitMQ again" after=2m5s`) {
			t.Errorf("the end is not logged:\n%s", &log)
		}
		o.failed(errors.New("refused"))
		if count("; retrying") != 2 {
			t.Errorf("the next outage is not logged:\n%s", &log)
		}
	})
}
