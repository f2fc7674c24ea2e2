package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// refuser publishes events as the relay does, with a broker that refuses the events in refuses.
type refuser struct {
	t       *testing.T
	db      *postgres.DB
	refuses map[string]bool // the events, as say describes them
	retry   time.Duration   // the delay of a refused event
	during  func()          // called while a batch is published
}

// say describes an event by its type without "user.", and its version.
func say(e event.Event) string { return fmt.Sprintf("%s %d", e.Type[len("user."):], e.UserVersion) }

// batch drains one batch, and returns the events that were sent.
func (r refuser) batch() (sent []string, drained outbox.Drained) {
	r.t.Helper()
	limits := outbox.Limits{Events: 500, Retries: 20, Bytes: 1 << 20}
	drained, err := r.db.Drain(r.t.Context(), limits, func(_ context.Context, waiting []outbox.Waiting) []outbox.Outcome {
		if r.during != nil {
			r.during()
		}
		out := make([]outbox.Outcome, len(waiting))
		blocked := map[uuid.UUID]bool{}
		for i, w := range waiting {
			switch {
			case blocked[w.Subject]:
				out[i] = outbox.Outcome{Result: outbox.Blocked, Retry: outbox.BlockedRetry}
				continue
			case r.refuses[say(w.Event)]:
				blocked[w.Subject] = true
				out[i] = outbox.Outcome{Result: outbox.Refused, Retry: r.retry, Reason: "the queue is full"}
			default:
				out[i] = outbox.Outcome{Result: outbox.Confirmed}
			}
			sent = append(sent, say(w.Event))
		}
		return out
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return sent, drained
}

func (r refuser) wantSent(want ...string) {
	r.t.Helper()
	sent, drained := r.batch()
	if diff := cmp.Diff(want, sent); diff != "" {
		r.t.Errorf("the events that were sent (-want +got):\n%s\n%+v", diff, drained)
	}
}

func (r refuser) rename(id uuid.UUID) {
	r.t.Helper()
	if err := rename(r.t.Context(), r.db, id, nil); err != nil {
		r.t.Fatal(err)
	}
}

// TestARefusedEventBlocksItsOwnUserOnly refuses an event of one user. Later events of this user must wait, and events of another user
// must not. The test runs in both query modes, because older poolers do not support prepared statements.
func TestARefusedEventBlocksItsOwnUserOnly(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := postgrestest.Connect(t, postgrestest.URL(t)+"&default_query_exec_mode="+mode, nil)
			r := refuser{t: t, db: db, refuses: map[string]bool{"created 1": true}, retry: time.Hour}
			bad := create(t, db, "bad@example.com")
			r.rename(bad.ID)
			r.wantSent("created 1")

			r.refuses["created 1"] = false
			other := create(t, db, "other@example.com")
			r.rename(bad.ID)
			r.rename(other.ID)
			r.wantSent("created 1", "updated 2") // both are events of the other user
			r.wantSent()

			if n, err := db.RetryEvents(t.Context()); n != 1 || err != nil {
				t.Errorf("%d events are retried (%v), want 1", n, err)
			}
			if sent, drained := r.batch(); len(sent) != 1 || sent[0] != "created 1" || !drained.More {
				t.Errorf("%v were sent (%+v), want created 1, and more", sent, drained)
			}
			r.rename(bad.ID)
			r.wantSent("updated 2", "updated 3", "updated 4")
			waitUntilEmptyNow(t, db)
		})
	}
}

func waitUntilEmptyNow(t *testing.T, db *postgres.DB) {
	t.Helper()
	if pending, _, err := db.OutboxBacklog(t.Context()); pending != 0 || err != nil {
		t.Errorf("%d events are in the outbox (%v), want none", pending, err)
	}
}

// TestManyEventsBehindARefusedOneStayInOrder puts more events behind a refused event than the relay releases in one batch.
func TestManyEventsBehindARefusedOneStayInOrder(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	r := refuser{t: t, db: db, refuses: map[string]bool{"updated 3": true}}
	u := create(t, db, "a@example.com")
	const last = 260
	for n := 2; n <= last; n++ {
		r.rename(u.ID)
		if n == 100 {
			r.batch()
		}
	}
	r.batch()
	r.refuses = nil
	want := 3
	for more := true; more; {
		var sent []string
		var drained outbox.Drained
		sent, drained = r.batch()
		for _, got := range sent {
			if got != fmt.Sprintf("updated %d", want) {
				t.Fatalf("%s was sent, want updated %d", got, want)
			}
			want++
		}
		more = drained.More
	}
	if want != last+1 {
		t.Errorf("the last event is updated %d, want updated %d", want-1, last)
	}
}

func TestAnEventIsParkedAfterTwentyRefusals(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	r := refuser{t: t, db: db, refuses: map[string]bool{"created 1": true}, retry: time.Minute}
	u := create(t, db, "a@example.com")
	r.rename(u.ID)
	for n := 1; n <= outbox.MaxRefusals+2; n++ {
		r.wantSent("created 1")
		r.wantSent() // the event is not due
		parked, err := db.ParkedEvents(t.Context(), 0, 10)
		if err != nil || len(parked) > 1 || (len(parked) == 1) != (n >= outbox.MaxRefusals) {
			t.Fatalf("after %d refusals %d events are parked (%v), want 1 event after %d or more refusals", n, len(parked),
				err, outbox.MaxRefusals)
		}
		if len(parked) == 1 {
			p := parked[0]
			if p.Refusals != n || p.Type != event.UserCreated || p.Subject != u.ID || p.Behind != 1 || p.Reason != "the queue is full" ||
				p.RetryAt.Before(time.Now()) || p.ParkedAt.After(time.Now().Add(time.Second)) {
				t.Errorf("the parked event is %+v, want user.created of %s after %d refusals, with 1 event behind", p, u.ID, n)
			}
			if more, err := db.ParkedEvents(t.Context(), p.Position, 10); len(more) != 0 || err != nil {
				t.Errorf("the next page has %d events (%v), want none", len(more), err)
			}
		}
		_, age, err := db.OutboxBacklog(t.Context())
		if err != nil || (age > 0) != (n < outbox.MaxRefusals) {
			t.Errorf("after %d refusals the oldest event is %s old (%v), want 0 if the event is parked", n, age, err)
		}
		if counts, err := db.ParkedCounts(t.Context()); err != nil || counts["user.created"] != int64(len(parked)) {
			t.Errorf("the counts of parked events are %v (%v), want %d of user.created", counts, err, len(parked))
		}
		if _, err := db.RetryEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.refuses = nil
	r.wantSent("created 1")
	r.wantSent("updated 2")
	waitUntilEmptyNow(t, db)
}

// TestRetriesOfABatchAreLimited stores new events, and more due events than the relay retries in one batch.
func TestRetriesOfABatchAreLimited(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	backlog(t, dsn, 50, 100)
	execute(t, dsn, `UPDATE outbox SET refusals = 1, retry_at = now() - interval '1 second'`)
	backlog(t, dsn, 30, 100)
	var sizes []int
	for range 3 {
		sent, _ := refuser{t: t, db: db}.batch()
		sizes = append(sizes, len(sent))
	}
	if diff := cmp.Diff([]int{50, 20, 10}, sizes); diff != "" {
		t.Errorf("the sizes of the batches (-want +got):\n%s", diff)
	}
}

// TestEventsBehindARemovedOneAreRetried deletes a refused event, as an operator or a replica of an earlier version may do. RetryEvents
// must make the events behind this event due.
func TestEventsBehindARemovedOneAreRetried(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	r := refuser{t: t, db: db, refuses: map[string]bool{"created 1": true}, retry: time.Hour}
	u := create(t, db, "a@example.com")
	r.rename(u.ID)
	r.rename(u.ID)
	r.wantSent("created 1")
	execute(t, dsn, `DELETE FROM outbox WHERE type = 'user.created'`)
	r.rename(u.ID)
	r.wantSent() // the new event waits behind earlier ones
	if n, err := db.RetryEvents(t.Context()); n != 1 || err != nil {
		t.Errorf("%d events are retried (%v), want 1", n, err)
	}
	r.wantSent("updated 2")
	r.wantSent("updated 3", "updated 4")
	waitUntilEmptyNow(t, db)
}

// TestARetryIsDueAfterTheClockWasSetBack stores an event whose retry is due later than the maximum delay, as after a clock that was ahead
// was set back. The event must be retried immediately.
func TestARetryIsDueAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	backlog(t, dsn, 2, 100)
	execute(t, dsn, `UPDATE outbox SET refusals = 1, retry_at = now() + interval '2 hours' WHERE id = (SELECT min(id) FROM outbox)`)
	execute(t, dsn, `UPDATE outbox SET refusals = 1, retry_at = now() + interval '59 minutes' WHERE id > (SELECT min(id) FROM outbox)`)
	sent, _ := refuser{t: t, db: db}.batch()
	if len(sent) != 1 {
		t.Errorf("%d events are retried, want only the event whose delay is longer than the maximum", len(sent))
	}
}

// TestADeletionIsNotBlocked erases a user after an event of the user was refused. The relay drops this event, so it must not block
// user.deleted.
func TestADeletionIsNotBlocked(t *testing.T) {
	t.Parallel()
	for name, erase := range map[string]func(refuser, uuid.UUID){
		"erased later": func(r refuser, id uuid.UUID) {
			r.wantSent("created 1")
			remove(r.t, r.db, id)
		},
		"erased while the relay has locked the event": func(r refuser, id uuid.UUID) {
			r.during = func() { remove(r.t, r.db, id) }
			r.wantSent("created 1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := postgrestest.Open(t, nil)
			r := refuser{t: t, db: db, refuses: map[string]bool{"created 1": true}, retry: time.Hour}
			u := create(t, db, "gone@example.com")
			r.rename(u.ID)
			erase(r, u.ID)
			sent, _ := r.batch()
			if len(sent) != 1 || sent[0][:7] != "deleted" {
				t.Errorf("%v were sent, want one deletion", sent)
			}
			waitUntilEmptyNow(t, db)
		})
	}
}
