package bench_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/rabbitmq"
)

var relayRounds = flag.Int("relay.rounds", 5, "the `number` of rounds of BenchmarkRelayAndFloor")

// limitedStore is a store whose batches have a smaller number of events.
type limitedStore struct {
	*postgres.DB

	events int
}

func (s limitedStore) Drain(ctx context.Context, limits outbox.Limits, publish func(context.Context, []outbox.Waiting) []outbox.Outcome,
) (outbox.Drained, error) {
	limits.Events = s.events
	return s.DB.Drain(ctx, limits, publish)
}

// BenchmarkRelayAndFloor drains an outbox of 10,000 events with the relay and with a loop. The loop does only what a relay can't avoid:
// select, publish the same messages, wait for the confirms, delete. They take turns, and the benchmark reports the ratio of their rates.
func BenchmarkRelayAndFloor(b *testing.B) {
	for _, batch := range []int{100, 500} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			const events = 10_000
			cfg := broker(b)
			keepEvents(b, cfg)
			dsn := postgrestest.URL(b)
			publisher := rabbitmq.New(cfg, rabbitmq.Config{})
			background(b, publisher.Run)
			testkit.WaitFor(b, "the connection", func() bool { return publisher.Check(b.Context()) == nil })
			relay := outbox.New(limitedStore{postgrestest.Connect(b, dsn, nil), batch}, publisher, outbox.Config{})
			floor := newFloorRelay(b, dsn, cfg, batch)
			for b.Loop() {
				var rates [2][]float64
				for range *relayRounds {
					for i, drain := range []func(context.Context) error{relay.Flush, floor.drain} {
						fillOutbox(b, floor.db, events)
						began := time.Now()
						if err := drain(b.Context()); err != nil {
							b.Fatal(err)
						}
						rates[i] = append(rates[i], events/time.Since(began).Seconds())
					}
				}
				b.Logf("events/s of the relay: %.0f; of the floor: %.0f", rates[0], rates[1])
				b.ReportMetric(medianRatio(rates[0], rates[1]), "ratio")
				b.ReportMetric(slices.Max(rates[0]), "events/s")
			}
		})
	}
}

// fillOutbox stores events of 1,000 users. They are deletions, so that the relay publishes them although the users do not exist.
func fillOutbox(b *testing.B, db *pgxpool.Pool, events int) {
	b.Helper()
	_, err := db.Exec(b.Context(), `
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
		SELECT gen_random_uuid(), 'user.deleted', ('00000000-0000-7000-8000-' || lpad(to_hex(n % 1000), 12, '0'))::uuid, n, now(),
			json_build_object('id', repeat('x', 500)) FROM generate_series(1, $1) n`, events)
	if err != nil {
		b.Fatal(err)
	}
}

// floorRelay publishes events with as little work as possible. It is not safe: it ignores other relays, erasures and refusals.
type floorRelay struct {
	db      *pgxpool.Pool
	channel *amqp.Channel
	batch   int
}

func newFloorRelay(b *testing.B, dsn string, cfg rabbitmq.Broker, batch int) floorRelay {
	b.Helper()
	db, err := pgxpool.New(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	uri := amqp.URI{Scheme: "amqp", Host: cfg.Host, Port: cfg.Port, Username: cfg.User, Password: cfg.Password, Vhost: cfg.Vhost}
	conn, err := amqp.Dial(uri.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		b.Fatal(err)
	}
	return floorRelay{db, channel, batch}
}

// floorEvent is a row of the outbox.
type floorEvent struct {
	Position int64
	ID       uuid.UUID
	Type     string
	Subject  string
	Version  int64
	Time     time.Time
	Data     []byte
}

func (r floorRelay) drain(ctx context.Context) error {
	for {
		rows, err := r.db.Query(ctx, `
			SELECT id, event_id, type, subject::text, sequence, occurred_at, data FROM outbox ORDER BY id LIMIT $1`, r.batch)
		if err != nil {
			return err
		}
		events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[floorEvent])
		if err != nil || len(events) == 0 {
			return err
		}
		positions, err := r.publish(ctx, events)
		if err != nil {
			return err
		}
		if _, err := r.db.Exec(ctx, `DELETE FROM outbox WHERE id = ANY($1)`, positions); err != nil {
			return err
		}
	}
}

// publish publishes the events, waits for their confirms, and returns their positions.
func (r floorRelay) publish(ctx context.Context, events []floorEvent) (positions []int64, err error) {
	confirms := make([]*amqp.DeferredConfirmation, len(events))
	for i, e := range events {
		positions = append(positions, e.Position)
		confirms[i], err = r.channel.PublishWithDeferredConfirmWithContext(ctx, rabbitmq.Exchange, e.Type, true, false, amqp.Publishing{
			ContentType: event.ContentType, DeliveryMode: amqp.Persistent, MessageId: e.ID.String(), Timestamp: e.Time, Type: e.Type,
			AppId: "floor", Headers: amqp.Table{"subject": e.Subject},
			Body: fmt.Appendf(nil, `{"specversion":"1.0","id":"%s","source":"/user-service","type":"%s","subject":"%s","time":"%s",`+
				`"datacontenttype":"application/json","userversion":%d,"data":%s}`,
				e.ID, e.Type, e.Subject, e.Time.UTC().Format(time.RFC3339Nano), e.Version, e.Data),
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range confirms {
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			return nil, fmt.Errorf("an event is not confirmed: %w", err)
		}
	}
	return positions, nil
}

// eventRate is the number of events per second of BenchmarkSteadyEvents.
const eventRate = 1000

// BenchmarkSteadyEvents stores 1,000 events a second for ten seconds. It measures the time from the insertion of each event to its confirm.
func BenchmarkSteadyEvents(b *testing.B) {
	cfg := broker(b)
	keepEvents(b, cfg)
	dsn := postgrestest.URL(b)
	publisher := rabbitmq.New(cfg, rabbitmq.Config{})
	background(b, publisher.Run)
	testkit.WaitFor(b, "the connection", func() bool { return publisher.Check(b.Context()) == nil })
	const events = 10 * eventRate
	confirmed := make(ages, events)
	relay := outbox.New(postgrestest.Connect(b, dsn, nil), publisher, outbox.Config{Observer: confirmed})
	background(b, relay.Run)
	db, err := pgxpool.New(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for b.Loop() {
		openLoop(eventRate, events/eventRate*time.Second, func(n int) int {
			_, err := db.Exec(b.Context(), `
				INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
				VALUES (gen_random_uuid(), 'user.deleted', gen_random_uuid(), $1, clock_timestamp(), json_build_object('id', repeat('x', 500)))`, n)
			if err != nil {
				b.Error(err)
			}
			relay.Wake()
			return 0
		})
		var took []time.Duration
		for range events {
			took = append(took, <-confirmed)
		}
		slices.Sort(took)
		b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
		b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
	}
}

// ages is an outbox.Observer that sends the age of each confirmed event.
type ages chan time.Duration

func (a ages) EventPublished(_ string, age time.Duration) { a <- age }
func (a ages) EventFailed(string)                         {}
