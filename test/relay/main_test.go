// Package relay_test tests the delivery of events from PostgreSQL to a RabbitMQ that refuses some of them.
package relay_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"user-service/internal/testkit"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/rabbitmq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the environment of one test: an outbox, the relays of two replicas, and event types that no other test uses.
type world struct {
	t      *testing.T
	dsn    string
	conn   *pgx.Conn
	db     *postgres.DB
	relays []*outbox.Relay
	topic  string // the prefix of the event types
	cfg    rabbitmq.Broker
}

func newWorld(t *testing.T) *world {
	t.Helper()
	port, err := strconv.Atoi(os.Getenv("RABBITMQ_PORT"))
	if err != nil {
		t.Fatal(`RABBITMQ_PORT is not set: run "make test", or: tools/dev/with-services go test ./test/relay`)
	}
	w := &world{t: t, dsn: postgrestest.URL(t), topic: "test." + uuid.NewString(), cfg: rabbitmq.Broker{
		Host: os.Getenv("RABBITMQ_HOST"), Port: port, User: os.Getenv("RABBITMQ_USER"), Password: os.Getenv("RABBITMQ_PASS"),
	}}
	if w.conn, err = pgx.Connect(t.Context(), w.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
	w.db = postgrestest.Connect(t, w.dsn, nil)
	return w
}

// run starts the relays of two replicas.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	for range 2 {
		publisher := rabbitmq.New(w.cfg, rabbitmq.Config{})
		relay := outbox.New(postgrestest.Connect(w.t, w.dsn, nil), publisher, outbox.Config{})
		wg.Go(func() { _ = publisher.Run(ctx) })
		wg.Go(func() { _ = relay.Run(ctx) })
		w.relays = append(w.relays, relay)
		w.eventually("the connection", func() bool { return publisher.Check(ctx) == nil })
	}
}

// users creates n users.
func (w *world) users(n int) []uuid.UUID {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), `
		INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT id, id || '@example.com', id || '@example.com', 'active', 1, now(), now()
		FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1)) AS s
		RETURNING id`, n)
	if err != nil {
		w.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// announce stores one event for each user, with a type that ends in word and data of the given size. It returns the ids.
func (w *world) announce(word string, bytes int, users ...uuid.UUID) []string {
	w.t.Helper()
	ids := make([]string, len(users))
	var batch pgx.Batch
	for i, u := range users {
		id := uuid.New()
		ids[i] = id.String()
		batch.Queue(`
			INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
			VALUES ($1, $2, $3, 1, now(), to_json(repeat('x', $4)))`,
			id, w.topic+"."+word, u, bytes)
	}
	if err := w.conn.SendBatch(w.t.Context(), &batch).Close(); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.relays {
		r.Wake()
	}
	return ids
}

// count returns the result of a counting query.
func (w *world) count(query string) (n int) {
	w.t.Helper()
	if err := w.conn.QueryRow(w.t.Context(), query).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	testkit.WaitFor(w.t, what, condition)
}

// channel opens a channel until the test ends.
func (w *world) channel() *amqp.Channel {
	w.t.Helper()
	uri := amqp.URI{Scheme: "amqp", Host: w.cfg.Host, Port: w.cfg.Port, Username: w.cfg.User, Password: w.cfg.Password, Vhost: "/"}
	conn, err := amqp.Dial(uri.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		w.t.Fatal(err)
	}
	return channel
}

// queue binds a queue to the types that end in word.
func (w *world) queue(channel *amqp.Channel, word string, arguments amqp.Table) string {
	w.t.Helper()
	queue, err := channel.QueueDeclare("", false, true, true, false, arguments)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, w.topic+"."+word, rabbitmq.Exchange, false, nil); err != nil {
		w.t.Fatal(err)
	}
	return queue.Name
}

// refuse makes the broker refuse events whose type ends in word, until heal is called.
func (w *world) refuse(word string) (heal func()) {
	w.t.Helper()
	channel := w.channel()
	queue := w.queue(channel, word, amqp.Table{"x-max-length": 0, "x-overflow": "reject-publish"})
	return func() {
		w.t.Helper()
		if _, err := channel.QueueDelete(queue, false, false, false); err != nil {
			w.t.Fatal(err)
		}
	}
}

// consumer records the events that a consumer of the broker receives.
type consumer struct {
	mu    sync.Mutex
	order []string             // the ids in order of arrival
	first map[string]time.Time // time of the first arrival
}

// consume receives all events of the test.
func (w *world) consume() *consumer {
	w.t.Helper()
	channel := w.channel()
	deliveries, err := channel.Consume(w.queue(channel, "#", nil), "", true, true, false, false, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &consumer{first: make(map[string]time.Time)}
	go func() {
		for d := range deliveries {
			c.mu.Lock()
			if c.order = append(c.order, d.MessageId); c.first[d.MessageId].IsZero() {
				c.first[d.MessageId] = time.Now()
			}
			c.mu.Unlock()
		}
	}()
	return c
}

// has reports whether all of these events have arrived.
func (c *consumer) has(ids ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if c.first[id].IsZero() {
			return false
		}
	}
	return true
}

// copies returns the number of deliveries of the event that was delivered most often.
func (c *consumer) copies(ids ...string) (most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[string]int)
	for _, id := range c.order {
		counts[id]++
	}
	for _, id := range ids {
		most = max(most, counts[id])
	}
	return most
}

// times publishes n events of these users sequentially, and returns the median and the longest delivery time.
func (w *world) times(c *consumer, n int, users []uuid.UUID) (median, longest time.Duration) {
	w.t.Helper()
	var took []time.Duration
	for i := range n {
		began := time.Now()
		id := w.announce("fine", 10, users[i%len(users)])[0]
		w.eventually("an event of another user", func() bool { return c.has(id) })
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[n/2], took[n-1]
}

// unconnected returns a relay whose publisher has no connection.
func (w *world) unconnected() *outbox.Relay {
	log := slog.New(slog.DiscardHandler)
	return outbox.New(w.db, rabbitmq.New(w.cfg, rabbitmq.Config{Log: log}), outbox.Config{Log: log})
}
