package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// backlog stores n user.deleted events, each of a different user, with data of about the given size in bytes.
func backlog(t *testing.T, dsn string, n, bytes int) {
	t.Helper()
	execute(t, dsn, fmt.Sprintf(`
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
		SELECT gen_random_uuid(), 'user.deleted', gen_random_uuid(), n, now(), to_json((SELECT string_agg(md5(random()::text), '')
			FROM generate_series(1, %d + 0 * n))) FROM generate_series(1, %d) n`, max(bytes/32, 1), n))
}

// published is an outbox.Publisher that counts the copies of each event.
type published struct {
	mu     sync.Mutex
	copies map[uuid.UUID]int
}

func (p *published) Publish(_ context.Context, events []event.Event) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copies == nil {
		p.copies = make(map[uuid.UUID]int)
	}
	for _, e := range events {
		p.copies[e.ID]++
	}
	return make([]error, len(events))
}

// counts returns the number of published events, and how many additional copies of these events were published.
func (p *published) counts() (events, duplicates int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.copies {
		duplicates += n - 1
	}
	return len(p.copies), duplicates
}

// relays runs the relays of two replicas until stop is called, or the test ends.
func relays(t *testing.T, dsn string, p outbox.Publisher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		relay := outbox.New(postgrestest.Connect(t, dsn, nil), p, outbox.Config{})
		wg.Go(func() { _ = relay.Run(ctx) })
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// TestDuplicatesAreLimitedWhileRemovalsFail runs two relays while events can be read but not removed. A relay that can find this out
// before it publishes must publish nothing. Otherwise each replica may publish at most one batch.
func TestDuplicatesAreLimitedWhileRemovalsFail(t *testing.T) {
	t.Parallel()
	const events = 600
	for name, fault := range map[string]struct {
		begin, end string // SQL that begins and ends the fault; $db and $role stand for the names
		copies     int    // the maximum number of copies that are published during the fault
	}{
		"read-only": {
			`ALTER DATABASE $db SET default_transaction_read_only = on`, `ALTER DATABASE $db RESET default_transaction_read_only`, 0,
		},
		"DELETE revoked": {`REVOKE DELETE ON outbox FROM $role`, `GRANT DELETE ON outbox TO $role`, 0},
		"removals fail":  {refuseRemovals, `DROP TRIGGER refuse ON outbox`, 1000}, // a batch for each replica
		"commits fail":   {refuseCommits, `DROP TRIGGER refuse ON outbox`, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWayAs(t, func(t *testing.T, role *postgrestest.Role, dsn, through string) {
				backlog(t, dsn, events, 100)
				run := func(sql string) {
					at := dsn
					if strings.HasPrefix(sql, "ALTER DATABASE") {
						at = postgrestest.ServerURL(t) // where transactions are not read-only
					}
					execute(t, at, strings.NewReplacer("$db", databaseOf(t, dsn), "$role", role.Name()).Replace(sql))
				}
				run(fault.begin)
				var p published
				stop := relays(t, through, &p)
				<-time.After(4 * time.Second) //nolint:forbidigo // counts the copies in this time; the relay pauses for at most 2 s
				stop()
				if events, duplicates := p.counts(); events+duplicates > fault.copies {
					t.Errorf("%d events were published with %d duplicates during the fault, want at most %d", events,
						duplicates, fault.copies)
				}
				run(fault.end)
				relays(t, through, &p) // on new connections
				waitUntilEmpty(t, dsn)
				if got, duplicates := p.counts(); got != events || duplicates > fault.copies {
					t.Errorf("%d events were published with %d duplicates, want %d with at most %d", got, duplicates, events, fault.copies)
				}
			})
		})
	}
}

const (
	refuseRemovals = `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END';
		CREATE TRIGGER refuse BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()`
	refuseCommits = `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END';
		CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`
)

// TestARelayPublishesNothingTwiceAfterAFailedRemoval lets the removal of published events fail several times, then succeed. The same
// relay must publish each event only once.
func TestARelayPublishesNothingTwiceAfterAFailedRemoval(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	backlog(t, dsn, 600, 100)
	execute(t, dsn, refuseRemovals)
	var p published
	relay := outbox.New(postgrestest.Connect(t, dsn, nil), &p, outbox.Config{})
	for range 3 {
		if err := relay.Flush(t.Context()); err == nil {
			t.Error("Flush succeeds while removals fail, want an error")
		}
	}
	if events, duplicates := p.counts(); events != 500 || duplicates != 0 {
		t.Errorf("%d events were published with %d duplicates, want one batch of 500 and no duplicates", events, duplicates)
	}
	execute(t, dsn, `DROP TRIGGER refuse ON outbox`)
	if err := relay.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if events, duplicates := p.counts(); events != 600 || duplicates != 0 {
		t.Errorf("%d events were published with %d duplicates, want 600 and no duplicates", events, duplicates)
	}
}

// TestALateRemovalReleasesTheEventsBehindIt lets the removal of a published event fail once. The broker had refused this event before, so
// later events of the same user wait behind it. After the removal succeeds, these events must be published.
func TestALateRemovalReleasesTheEventsBehindIt(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	r := refuser{t: t, db: db, refuses: map[string]bool{"created 1": true}, retry: time.Hour}
	u := create(t, db, "a@example.com")
	r.rename(u.ID)
	r.rename(u.ID)
	r.wantSent("created 1")
	if n, err := db.RetryEvents(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d events are retried (%v), want 1", n, err)
	}
	execute(t, dsn, refuseRemovals)
	var p published
	relay := outbox.New(db, &p, outbox.Config{})
	if err := relay.Flush(t.Context()); err == nil {
		t.Error("Flush succeeds while removals fail, want an error")
	}
	execute(t, dsn, `DROP TRIGGER refuse ON outbox`)
	if err := relay.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if events, duplicates := p.counts(); events != 3 || duplicates != 0 {
		t.Errorf("%d events were published with %d duplicates, want 3 and no duplicates", events, duplicates)
	}
	waitUntilEmptyNow(t, db)
}

// TestARemovalComparesTheEventID removes a published event whose position now belongs to another event, as can happen after a failover
// that lost the last commits. The other event must stay.
func TestARemovalComparesTheEventID(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	backlog(t, dsn, 1, 100)
	var taken []outbox.Waiting
	if _, err := db.Drain(t.Context(), everything, func(_ context.Context, w []outbox.Waiting) []outbox.Outcome {
		taken = w
		return make([]outbox.Outcome, len(w))
	}); err != nil {
		t.Fatal(err)
	}
	taken[0].ID = uuid.New()
	if err := db.Remove(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if n := len(drain(t, db)); n != 1 {
		t.Errorf("%d events are left, want 1: the event that was not published", n)
	}
}

// TestNothingIsPublishedWhileTheTableIsLocked locks the table as CREATE INDEX does. This lock blocks removals, but not row locks.
func TestNothingIsPublishedWhileTheTableIsLocked(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	backlog(t, dsn, 600, 100)
	holder, err := connect(t, dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `LOCK TABLE outbox IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	var p published
	db := postgrestest.Connect(t, dsn, nil)
	relay := outbox.New(db, &p, outbox.Config{})
	if err := relay.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "55P03") {
		t.Errorf("Flush while the table is locked: %v, want lock_not_available (55P03)", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events, _ := p.counts(); events != 0 {
		t.Errorf("%d events were published while the table was locked, want none", events)
	}
	if err := relay.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if events, duplicates := p.counts(); events != 600 || duplicates != 0 {
		t.Errorf("%d events were published with %d duplicates, want 600 and no duplicates", events, duplicates)
	}
}

// TestABatchIsBoundedInBytes drains events of 64 KiB, and one event that alone is larger than the limit of a batch.
func TestABatchIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	backlog(t, dsn, 100, 64<<10)
	backlog(t, dsn, 1, 2<<20)
	backlog(t, dsn, 3, 100)
	limits := outbox.Limits{Events: 500, Retries: 20, Bytes: 1 << 20}
	var sizes []int
	var last int64
	for more := true; more; {
		drained, err := db.Drain(t.Context(), limits, func(_ context.Context, waiting []outbox.Waiting) []outbox.Outcome {
			bytes := 0
			for _, w := range waiting {
				bytes += len(w.Data)
				if w.Position <= last {
					t.Errorf("position %d follows position %d, want a higher one", w.Position, last)
				}
				last = w.Position
			}
			if len(waiting) > 1 && bytes > limits.Bytes+2<<20+100 {
				t.Errorf("a batch of %d events has %d bytes, want at most %d", len(waiting), bytes, limits.Bytes+2<<20+100)
			}
			sizes = append(sizes, len(waiting))
			return confirmAll(len(waiting))
		})
		if err != nil {
			t.Fatal(err)
		}
		more = drained.More
	}
	if diff := cmp.Diff([]int{16, 16, 16, 16, 16, 16, 5, 3}, sizes); diff != "" {
		t.Errorf("the sizes of the batches (-want +got):\n%s", diff)
	}
}

func waitUntilEmpty(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	testkit.WaitFor(t, "an empty outbox", func() bool {
		var waiting int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting == 0
	})
}

var _ outbox.Store = (*postgres.DB)(nil)
