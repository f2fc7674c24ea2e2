package httpapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAReportIsReusedLongerWhileTheServiceIsReady checks that a process is ready soon after its first probe, and that probes of a ready
// process cost little.
func TestAReportIsReusedLongerWhileTheServiceIsReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var database error
		runs := 0
		health := NewHealth(nil, Check{Name: "database", Run: func(context.Context) error { runs++; return database }})
		want := func(ready bool, after time.Duration, total int) {
			t.Helper()
			<-time.NewTimer(after).C
			if got := health.Ready(t.Context())["database"]; got != ready || runs != total {
				t.Errorf("ready is %t after %d runs of the check, want %t after %d", got, runs, ready, total)
			}
		}
		database = errors.New("it does not answer")
		want(false, 0, 1)
		want(false, maxUnreadyAge, 1)
		database = nil
		want(true, time.Millisecond, 2)
		database = errors.New("it does not answer")
		want(true, maxReportAge, 2)
		want(false, time.Millisecond, 3)
	})
}
