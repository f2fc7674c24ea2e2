package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestEachChangeOfReadinessIsLoggedOnce changes a check that decides readiness, and one that does not. During the start,
// a failed check is not a warning.
func TestEachChangeOfReadinessIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		var database, broker error
		health := NewHealth(slog.New(slog.NewTextHandler(&logs, nil)),
			Check{Name: "database", Run: func(context.Context) error { return database }},
			Check{Name: "rabbitmq", Run: func(context.Context) error { return broker }, NonCritical: true})
		for _, now := range []struct {
			database, broker error
			ready            bool
		}{
			{errors.New("it does not answer"), nil, false},
			{errors.New("it does not answer"), nil, false},
			{nil, nil, true},
			{nil, errors.New("no connection"), true},
			{errors.New("it does not answer"), nil, false},
			{nil, nil, true},
		} {
			database, broker = now.database, now.broker
			<-time.NewTimer(2 * maxReportAge).C
			if got := health.Ready(t.Context()); !maps.Equal(got, map[string]bool{"database": now.ready, "shutdown": true}) {
				t.Errorf("ready is %v, want the database %t", got, now.ready)
			}
		}
		health.Drain()
		if health.Ready(t.Context())["shutdown"] {
			t.Error("the check of the shutdown succeeds during a shutdown")
		}
		lines := regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(logs.String(), "")
		if got := strings.Split(strings.TrimSpace(lines), "\n"); !slices.Equal(got, []string{
			`level=INFO msg="not ready" checks.database="it does not answer"`, "level=INFO msg=ready",
			`level=WARN msg="not ready" checks.database="it does not answer"`, "level=INFO msg=ready",
		}) {
			t.Errorf("the log is\n%s", lines)
		}
	})
}
