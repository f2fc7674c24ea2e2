package rabbitmq_test

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// confirmTimeout is the timeout of waitFor.
const confirmTimeout = 20 * time.Second

func TestMain(m *testing.M) {
	cleanup := trustTestCA()
	// toxiproxy leaks goroutines when its limit_data toxic has cut a connection.
	const toxiproxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(toxiproxy+"/toxics.(*NoopToxic).Pipe"),
		goleak.IgnoreAnyFunction(toxiproxy+".(*ToxicLink).read"),
		goleak.Cleanup(func(code int) {
			cleanup()
			os.Exit(code)
		}))
}

// broker returns the RabbitMQ of the environment.
func broker(t testing.TB) rabbitmq.Broker {
	t.Helper()
	cfg := rabbitmq.Broker{
		Host:  os.Getenv("RABBITMQ_HOST"),
		User:  os.Getenv("RABBITMQ_USER"),
		Vhost: os.Getenv("RABBITMQ_VHOST"),
	}
	cfg.Port, _ = strconv.Atoi(os.Getenv("RABBITMQ_PORT"))
	cfg.Password = os.Getenv("RABBITMQ_PASS")
	if cfg.Host == "" || cfg.Port == 0 || cfg.User == "" || cfg.Password == "" {
		t.Fatal("set RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER and RABBITMQ_PASS, or use `make test`")
	}
	return cfg
}

// start runs a Publisher until the test ends, and waits until it is connected.
func start(t testing.TB, cfg rabbitmq.Broker, o rabbitmq.Observer) *rabbitmq.Publisher {
	t.Helper()
	p := rabbitmq.New(cfg, rabbitmq.Config{Observer: o})
	run(t, p)
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
	return p
}

// run runs p until the test ends or stop is called. stop waits for its end.
func run(t testing.TB, p *rabbitmq.Publisher) (stop func()) {
	t.Helper()
	return background(t, p.Run)
}

// randomType returns a unique event type, so that tests can share a broker.
func randomType() event.Type { return event.Type("test." + uuid.NewString()) }

// newEvents returns n events of a type and a user, with consecutive versions.
func newEvents(t testing.TB, typ event.Type, n int) []event.Event {
	t.Helper()
	subject := uuid.New()
	events := make([]event.Event, n)
	for i := range events {
		e, err := event.New(typ, subject, int64(i+1), time.Now(), map[string]any{"user": map[string]any{"name": "Zoë"}})
		if err != nil {
			t.Fatal(err)
		}
		events[i] = e
	}
	return events
}

// ids returns the message ids of the events.
func ids(events []event.Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.ID.String()
	}
	return all
}

// consumer collects the messages of a queue.
type consumer struct {
	mu       sync.Mutex
	messages []amqp.Delivery
}

// consume collects all messages of a type from the broker, without any proxy.
func consume(t testing.TB, typ event.Type) *consumer {
	t.Helper()
	channel := dial(t)
	queue := declare(t, channel, typ, nil)
	deliveries, err := channel.Consume(queue, "", true, true, false, false, nil)
	if err != nil {
		t.Fatalf("consume: %v", err)
	}
	c := &consumer{}
	go func() {
		for delivery := range deliveries {
			c.mu.Lock()
			c.messages = append(c.messages, delivery)
			c.mu.Unlock()
		}
	}()
	return c
}

// dial opens a channel that is closed with the test.
func dial(t testing.TB) *amqp.Channel {
	t.Helper()
	cfg := broker(t)
	uri := amqp.URI{Scheme: "amqp", Host: cfg.Host, Port: cfg.Port, Username: cfg.User, Password: cfg.Password, Vhost: cfg.Vhost}
	conn, err := amqp.Dial(uri.String())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatalf("open a channel: %v", err)
	}
	return channel
}

// declare declares an exclusive queue for a type.
func declare(t testing.TB, channel *amqp.Channel, typ event.Type, arguments amqp.Table) (name string) {
	t.Helper()
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatalf("declare the exchange: %v", err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, arguments)
	if err != nil {
		t.Fatalf("declare a queue: %v", err)
	}
	if err := channel.QueueBind(queue.Name, string(typ), rabbitmq.Exchange, false, nil); err != nil {
		t.Fatalf("bind: %v", err)
	}
	return queue.Name
}

// received returns the messages that have arrived so far.
func (c *consumer) received() []amqp.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]amqp.Delivery(nil), c.messages...)
}

// firstArrivals returns the message ids in the order of their first arrival.
func (c *consumer) firstArrivals() []string {
	var order []string
	known := make(map[string]bool)
	for _, m := range c.received() {
		if !known[m.MessageId] {
			known[m.MessageId] = true
			order = append(order, m.MessageId)
		}
	}
	return order
}

// observer is an Observer that records its calls.
type observer struct {
	mu        sync.Mutex
	connected []bool
	confirmed []time.Duration
	returned  []string
	nacked    int
}

func (o *observer) Connected(c bool) { o.record(func() { o.connected = append(o.connected, c) }) }
func (o *observer) Confirmed(d time.Duration) {
	o.record(func() { o.confirmed = append(o.confirmed, d) })
}

func (o *observer) Returned(typ string) { o.record(func() { o.returned = append(o.returned, typ) }) }
func (o *observer) Nacked()             { o.record(func() { o.nacked++ }) }

func (o *observer) record(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// snapshot returns a copy.
func (o *observer) snapshot() *observer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &observer{
		connected: append([]bool(nil), o.connected...),
		confirmed: append([]time.Duration(nil), o.confirmed...),
		returned:  append([]string(nil), o.returned...),
		nacked:    o.nacked,
	}
}
