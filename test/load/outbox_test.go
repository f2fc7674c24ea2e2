package load_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/rabbitmq"
)

const (
	owners       = 1000  // The number of users with waiting events.
	serveMiB     = 200.0 // The maximum memory of the serving process.
	readsOfEvent = 40    // The maximum number of outbox rows that are read for each event.
)

// TestALargeOutboxDrainsSteadily starts with a large outbox, while users read, change and erase accounts. Requests must be served
// in time, and the rate must not fall with the number of events. No statement may read the whole outbox, and memory must stay
// bounded. make outbox runs it with 1,000,000 events.
func TestALargeOutboxDrainsSteadily(t *testing.T) { //nolint:paralleltest // it measures time
	dsn := postgrestest.URL(t)
	fill(t, dsn, *rows)
	keepEvents(t)
	began := time.Now()
	s := newService(t, dsn, dsn, nil)
	people := s.accounts(30)
	before, machine := s.rowsRead(), s.watchMachine()
	stop := crowd(2, func(ctx context.Context, client, n int) answer {
		defer func() { testkit.Pause(ctx, 20*time.Millisecond) }()
		if client == 0 {
			return s.callUntil(ctx, "GET", "/users/me", people[0].token, "")
		}
		if n%50 == 49 && n/50 < len(people)-2 {
			return s.callUntil(ctx, "DELETE", "/users/me", people[n/50+2].token, "")
		}
		return s.callUntil(ctx, "PATCH", "/users/me", people[1].token, fmt.Sprintf(`{"name": "Name %d"}`, n))
	})
	tenths, slowest := s.watchDrain(*rows, began)
	answers, busy := stop(), machine()
	var took []time.Duration
	for _, a := range answers {
		a.check(t, busy)
		took = append(took, a.took)
	}
	slices.Sort(took)
	mib, err := s.PeakMiB()
	s.must(err)
	read := s.rowsRead() - before
	t.Logf("%d events in %s: tenths %v; memory %.0f MiB; slowest statement %s; %.1f rows read for each event; %d requests %v, p50 %s, "+
		"p99 %s",
		*rows, sum(tenths).Round(time.Millisecond), tenths, mib, slowest, float64(read)/float64(*rows), len(answers), counts(answers),
		took[len(took)/2], took[len(took)*99/100])

	sorted := slices.Sorted(slices.Values(tenths[1:])) // the first tenth includes the start of the program
	// A busy machine may stop everything for a while, which counts most in a short tenth.
	if most := 3*sorted[len(sorted)/2] + 5*time.Second; sorted[len(sorted)-1] > most {
		t.Errorf("a tenth of the events took %s, want at most %s", sorted[len(sorted)-1], most)
	}
	if mib > serveMiB {
		t.Errorf("the process used %.0f MiB, want at most %.0f", mib, serveMiB)
	}
	if most := readsOfEvent * *rows; read > most {
		t.Errorf("%d rows of the outbox were read, want at most %d", read, most)
	}
	if slowest > 2*time.Second {
		t.Errorf("a statement took %s, want at most 2 s", slowest)
	}
	if n := counts(answers)[http.StatusNoContent]; n == 0 {
		t.Error("no account was erased during the test")
	}
}

// fill creates users and their ordered events.
func fill(t *testing.T, dsn string, events int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
			SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n || '@example.com', n || '@example.com', 'active', 1,
				now(),
				now()
			FROM generate_series(0, %d) n`, owners-1),
		fmt.Sprintf(`INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
			SELECT gen_random_uuid(), 'user.updated', ('00000000-0000-7000-8000-' || lpad(to_hex(n %% %d), 12, '0'))::uuid, n, now(),
				json_build_object('user', repeat('x', 500)) FROM generate_series(1, %d) n`, owners, events),
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// keepEvents binds a durable queue, so that the broker writes an event before its confirm.
func keepEvents(t *testing.T) {
	t.Helper()
	conn, err := amqp.Dial(os.ExpandEnv("amqp://$RABBITMQ_USER:$RABBITMQ_PASS@$RABBITMQ_HOST:$RABBITMQ_PORT"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	const queue = "test.load"
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": 1000}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = channel.QueueDelete(queue, false, false, false) })
	if err := channel.QueueBind(queue, "user.*", rabbitmq.Exchange, false, nil); err != nil {
		t.Fatal(err)
	}
}

// watchDrain waits until this number of events has been published. It returns the duration of each tenth, and the longest
// observed duration of a statement.
func (s *service) watchDrain(events int, began time.Time) (tenths []time.Duration, slowest time.Duration) {
	s.t.Helper()
	progress := time.Now()
	for last, done := began, 0; len(tenths) < 10; testkit.Pause(s.t.Context(), 20*time.Millisecond) {
		// This query is cheaper than the metrics, which count all waiting events each time.
		oldest := s.count(`SELECT coalesce((SELECT id FROM outbox ORDER BY id LIMIT 1), $1 + 1)`, events)
		if oldest-1 > done {
			progress, done = time.Now(), oldest-1
		}
		for len(tenths) < 10 && done >= events*(len(tenths)+1)/10 {
			tenths = append(tenths, time.Since(last).Round(time.Millisecond))
			last = time.Now()
		}
		if time.Since(progress) > testkit.Timeout {
			s.t.Fatalf("only %d of %d events are published", done, events)
		}
		slowest = max(slowest, s.slowestStatement())
	}
	return tenths, slowest
}

func (s *service) slowestStatement() time.Duration {
	s.t.Helper()
	var seconds float64
	s.must(s.conn.QueryRow(s.t.Context(), `
		SELECT coalesce(extract(epoch FROM max(clock_timestamp() - query_start)), 0)::float8 FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
			AND backend_type = 'client backend'`).Scan(&seconds))
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// rowsRead returns the number of rows read from the outbox, by any plan.
func (s *service) rowsRead() int {
	s.t.Helper()
	return s.count(`SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'outbox'`)
}

func sum(all []time.Duration) (total time.Duration) {
	for _, d := range all {
		total += d
	}
	return total
}
