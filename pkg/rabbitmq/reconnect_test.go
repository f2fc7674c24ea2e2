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

// TestOutageIsNotLoggedAgainAndAgain has a clock of its own.
func TestOutageIsNotLoggedAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := outage{log: slog.New(slog.NewTextHandler(&log, nil))}
		count := func(message string) int { return strings.Count(log.String(), message) }

		o.over()
		for range 125 { // seconds
			o.failed(errors.New("refused"))
			<-time.After(time.Second)
		}
		if first, still := count("trying again"), count("still no connection"); first != 1 || still != 4 {
			t.Errorf("%d first lines and %d reminders in 125 s, want 1 and 4:\n%s", first, still, &log)
		}
		o.over()
		if !strings.Contains(log.String(), `msg="connected to RabbitMQ again" after=2m5s`) {
			t.Errorf("no word of the end:\n%s", &log)
		}
		o.failed(errors.New("refused"))
		if count("trying again") != 2 {
			t.Errorf("no word of the next outage:\n%s", &log)
		}
	})
}
