// Package bench_test measures the whole service with real servers.
package bench_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/outbox"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/user"
)

// deliveryTime is the promised median from commit to confirm on an idle service.
const deliveryTime = 10 * time.Millisecond

// BenchmarkFromCommitToConfirm measures the time of one event on an idle service, from the commit of a change to the broker's confirm. The
// broker writes the event to a durable queue. The contract promises a median under 10 ms. The benchmark fails if the median is higher than
// that.
func BenchmarkFromCommitToConfirm(b *testing.B) {
	cfg := broker(b)
	keepEvents(b, cfg)
	committed, confirmed := make(chan time.Time, 1), make(confirms, 1)

	var relay *outbox.Relay
	db := postgrestest.Open(b, func() {
		committed <- time.Now()
		relay.Wake()
	})
	publisher := rabbitmq.New(cfg, rabbitmq.Config{})
	relay = outbox.New(db, publisher, outbox.Config{Observer: confirmed})
	background(b, publisher.Run)
	background(b, relay.Run)
	testkit.WaitFor(b, "the connection", func() bool { return publisher.Check(b.Context()) == nil })

	rename := account(b, db)
	<-confirmed
	<-committed
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		rename(fmt.Sprintf("Name %d", n))
		end := <-confirmed
		took = append(took, end.Sub(<-committed))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	b.ReportMetric(milliseconds(median), "p50-ms")
	b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
	if median > deliveryTime {
		fail(b, "the median from commit to confirm is %s, want at most %s", median, deliveryTime)
	}
}

// BenchmarkBacklog measures how fast the relay drains an outbox of 10,000 events of 1,000 users.
func BenchmarkBacklog(b *testing.B) {
	const events = 10_000
	cfg := broker(b)
	keepEvents(b, cfg)
	dsn := postgrestest.URL(b)
	db := postgrestest.Connect(b, dsn, nil)
	publisher := rabbitmq.New(cfg, rabbitmq.Config{})
	background(b, publisher.Run)
	testkit.WaitFor(b, "the connection", func() bool { return publisher.Check(b.Context()) == nil })
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	relay := outbox.New(db, publisher, outbox.Config{})
	for b.Loop() {
		b.StopTimer()
		// The relay does not look up the user of a deletion.
		_, err := conn.Exec(b.Context(), `
			INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
			SELECT gen_random_uuid(), 'user.deleted', ('00000000-0000-7000-8000-' || lpad(to_hex(n % 1000), 12, '0'))::uuid, n, now(),
				json_build_object('id', repeat('x', 300)) FROM generate_series(1, $1) n`, events)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := relay.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// confirms is an outbox.Observer that sends the time of each confirm.
type confirms chan time.Time

func (c confirms) EventPublished(string, time.Duration) { c <- time.Now() }
func (c confirms) EventFailed(string)                   {}

// account creates an account and returns a function that changes its name.
func account(b *testing.B, db *postgres.DB) (rename func(name string)) {
	b.Helper()
	hasher, err := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1},
		Limits: password.Limits{Concurrency: 1, Queue: 1, MaxWait: time.Minute},
	})
	if err != nil {
		b.Fatal(err)
	}
	users := user.New(user.Config{Passwords: password.Policy{MinLength: 15}}, db, hasher, nil)
	u, err := users.Create(b.Context(), access.Internal(uuid.Nil), user.Registration{
		Email: "ada@example.com", Password: "seven green kettles sing",
	})
	if err != nil {
		b.Fatal(err)
	}
	return func(name string) {
		_, err := users.Update(b.Context(), user.Identity{}, access.Internal(u.ID), user.Replacement{
			Email: u.Email, Profile: user.Profile{Name: name},
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// background runs a function until the benchmark ends.
func background(b *testing.B, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run(ctx)
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
}

// broker returns the RabbitMQ that the environment names.
func broker(b *testing.B) rabbitmq.Broker {
	b.Helper()
	port, err := strconv.Atoi(os.Getenv("RABBITMQ_PORT"))
	if err != nil {
		b.Fatal(`RABBITMQ_PORT is not set: use "make bench"`)
	}
	return rabbitmq.Broker{
		Host: os.Getenv("RABBITMQ_HOST"), Port: port, User: os.Getenv("RABBITMQ_USER"), Vhost: "/",
		Password: os.Getenv("RABBITMQ_PASS"),
	}
}

// keepEvents binds a durable queue, so that the broker writes an event before its confirm.
func keepEvents(b *testing.B, cfg rabbitmq.Broker) {
	b.Helper()
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
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	const queue = "bench.delivery"
	if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": 1000}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = channel.QueueDelete(queue, false, false, false) })
	if err := channel.QueueBind(queue, "user.*", rabbitmq.Exchange, false, nil); err != nil {
		b.Fatal(err)
	}
}
