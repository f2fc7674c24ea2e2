package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/user"
)

// recorder collects the recorded denials in a short form: the caller's number, the route and the number of suppressed denials.
type recorder struct {
	mu      sync.Mutex
	entries []string
	fail    error
	hold    chan struct{} // blocks record until it is closed
}

func (r *recorder) record(ctx context.Context, d user.Denial) error {
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail == nil {
		r.entries = append(r.entries, fmt.Sprint(user.OriginOf(ctx).ActorID.ID(), " ", d.Route, " ", d.Suppressed))
	}
	return r.fail
}

func (r *recorder) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.entries = nil }()
	return r.entries
}

func from(n byte) user.Origin { return user.Origin{ActorID: uuid.UUID{3: n, 15: 1}} }

func routes(first, last int) (out []string) {
	for n := first; n <= last; n++ {
		out = append(out, fmt.Sprintf("1 %d 0", n))
	}
	return out
}

// TestSuppressedDenialsAreCounted denies requests of two callers. The last entry of a minute must contain the number of denials without an
// entry.
func TestSuppressedDenialsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := &recorder{}
		d := newDenials(made.record, slog.New(slog.DiscardHandler))
		want := func(what string, entries ...string) {
			t.Helper()
			if diff := cmp.Diff(entries, made.take()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		for n := range 10 {
			d.add(from(1), fmt.Sprint(n+1), uuid.Nil)
		}
		want("ten denials", routes(1, 9)...)
		<-time.After(59 * time.Second)
		for n := 10; n < 15; n++ {
			d.add(from(1), fmt.Sprint(n+1), uuid.Nil)
		}
		d.add(from(2), "x", uuid.Nil)
		want("before the end of the minute, with a second caller", "2 x 0")
		<-time.After(time.Second)
		want("after the minute", "1 15 5")
		for n := range 10 {
			d.add(from(1), fmt.Sprint(n+1), uuid.Nil)
		}
		want("the next minute", routes(1, 9)...)
		<-time.After(time.Minute)
		want("after the next minute with ten denials", "1 10 0")
		<-time.After(time.Hour)
		want("after an hour without denials")
	})
}

// TestPendingDenialsAreRecordedAtShutdown shuts down in the middle of a minute. The last entry of each caller's minute must be recorded.
func TestPendingDenialsAreRecordedAtShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := &recorder{}
		d := newDenials(made.record, slog.New(slog.DiscardHandler))
		for range 12 {
			d.add(from(1), "a", uuid.Nil)
			d.add(from(2), "b", uuid.Nil)
		}
		if err := d.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries := made.take()
		if last := entries[len(entries)-2:]; len(entries) != 20 || !slices.Contains(last, "1 a 2") || !slices.Contains(last, "2 b 2") {
			t.Errorf("%d entries after the shutdown, want 20 that end with the counts of both callers: %v", len(entries), entries)
		}
	})
}

// TestDenialsNeverWaitForTheDatabase blocks the recording of denials. Memory stays bounded, the shutdown keeps its deadline, and
// denials that are not recorded are logged.
func TestDenialsNeverWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := &recorder{hold: make(chan struct{})}
		var log strings.Builder
		d := newDenials(made.record, slog.New(slog.NewTextHandler(&log, nil)))
		began := time.Now()
		for n := range 3 * maxDenialCallers {
			for range 11 {
				d.add(user.Origin{Actor: fmt.Sprint(n)}, "a", uuid.Nil)
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the denials waited %s, want no wait", waited)
		}
		if len(d.pending) > maxPendingDenials || d.callers.Len() > maxDenialCallers {
			t.Errorf("%d entries wait and %d callers are known, want at most %d and %d",
				len(d.pending), d.callers.Len(), maxPendingDenials, maxDenialCallers)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the shutdown returns %v, want %v", err, context.DeadlineExceeded)
		}
		made.fail = errors.New("no such luck")
		close(made.hold)
		made.take()
		if !strings.Contains(log.String(), "too many entries waited") || !strings.Contains(log.String(), made.fail.Error()) {
			t.Errorf("the log is %.500s, want the dropped entries and the error %q in it", log.String(), made.fail)
		}
	})
}
