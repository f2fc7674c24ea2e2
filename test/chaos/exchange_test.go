package chaos_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// TestAnExistingExchangeIsUsed publishes to an exchange that the operator has declared with different arguments. One of the users has only
// the permission to write. Without an exchange, such a user can't connect, but must connect as soon as the operator declares the exchange.
func TestAnExistingExchangeIsUsed(t *testing.T) { //nolint:paralleltest // it starts a broker in addition to the brokers of the schedules
	b := &exchanges{t: t, broker: newBroker(t, 1)}
	if err := b.up(); err != nil {
		t.Fatal(err)
	}
	for _, args := range append(documentedCommands(t),
		[]string{"add_user", "writer", "writer"}, []string{"set_permissions", "writer", "^$", "^user_events$", "^$"},
		[]string{"add_vhost", "empty"}, []string{"set_permissions", "-p", "empty", "app", ".*", ".*", ".*"},
		[]string{"set_permissions", "-p", "empty", "writer", "^$", "^user_events$", "^$"},
	) {
		if _, err := b.node(0).control(t.Context(), "rabbitmqctl", args...); err != nil {
			t.Fatal(err)
		}
	}
	log, p := b.publisher("user_service", "")
	testkit.WaitFor(t, "the documented user to connect", func() bool { return p.Check(t.Context()) == nil })
	b.mustPublish(p)
	if strings.Contains(log.Tail(all), "is used as it is") {
		t.Errorf("the documented user has not declared the exchange:\n%s", log.Tail(all))
	}
	b.wantTail(p)
	b.onExchange("", func(channel *amqp.Channel) error { return channel.ExchangeDelete(rabbitmq.Exchange, false, false) })
	b.declare("", amqp.Table{"alternate-exchange": "amq.fanout"})
	for _, user := range []string{"app", "user_service", "writer"} {
		log, p = b.publisher(user, "")
		testkit.WaitFor(t, user+" to connect", func() bool { return p.Check(t.Context()) == nil })
		b.mustPublish(p)
		if n := strings.Count(log.Tail(all), "is used as it is"); n != 1 {
			t.Errorf("%s: the log reports %d times that the existing exchange is used:\n%s", user, n, log.Tail(all))
		}
	}

	log, p = b.publisher("writer", "empty")
	testkit.WaitFor(t, "the reason in the log", func() bool { return strings.Contains(log.Tail(all), "find it: Exception (404)") })
	b.declare("empty", nil)
	testkit.WaitFor(t, "the writer to connect", func() bool { return p.Check(t.Context()) == nil })
	b.mustPublish(p)
}

// all is more lines than a test logs.
const all = 1000

// exchanges is a broker whose operator declares the exchange.
type exchanges struct {
	*broker

	t *testing.T
}

// publisher runs a Publisher until the test ends.
func (b *exchanges) publisher(user, vhost string) (*testkit.Buffer, *rabbitmq.Publisher) {
	b.t.Helper()
	log := &testkit.Buffer{}
	p := rabbitmq.New(b.settings(user, vhost), rabbitmq.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(b.t.Context()) }) // the context ends before the cleanups
	b.t.Cleanup(running.Wait)
	return log, p
}

// settings returns the connection settings of a user.
func (b *exchanges) settings(user, vhost string) rabbitmq.Broker {
	b.t.Helper()
	host, number, err := net.SplitHostPort(b.node(0).addr)
	if err != nil {
		b.t.Fatal(err)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		b.t.Fatal(err)
	}
	password := map[string]string{"app": b.password, "writer": "writer", "user_service": "change-me", "events_tail": "change-me"}[user]
	return rabbitmq.Broker{Host: host, Port: port, User: user, Password: password, Vhost: vhost}
}

func (b *exchanges) mustPublish(p *rabbitmq.Publisher) {
	b.t.Helper()
	e := event.Event{ID: uuid.New(), Type: event.UserDeleted, Subject: uuid.New(), UserVersion: 2, Time: time.Now(), Data: []byte("{}")}
	if err := p.Publish(b.t.Context(), []event.Event{e})[0]; err != nil {
		b.t.Error(err)
	}
}

// wantTail checks that the documented user of "events tail" gets an event.
func (b *exchanges) wantTail(p *rabbitmq.Publisher) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), testkit.Timeout)
	defer cancel()
	received := false
	err := rabbitmq.Tail(ctx, b.settings("events_tail", ""), slog.New(slog.DiscardHandler), rabbitmq.Subscription{
		BindingKey: "#",
		Connected:  func() { b.mustPublish(p) },
		Handle: func([]byte, string) error {
			received = true
			cancel()
			return nil
		},
	})
	if err != nil || !received {
		b.t.Errorf("events tail: received an event: %t, error %v; want true and none", received, err)
	}
}

// declare declares the exchange as an operator does.
func (b *exchanges) declare(vhost string, args amqp.Table) {
	b.t.Helper()
	b.onExchange(vhost, func(channel *amqp.Channel) error {
		return channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, args)
	})
}

func (b *exchanges) onExchange(vhost string, do func(*amqp.Channel) error) {
	b.t.Helper()
	conn, err := amqp.Dial(fmt.Sprintf("amqp://app:%s@%s/%s", b.password, b.node(0).addr, vhost))
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = do(channel)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// documentedCommands returns the commands of docs/operations.md for the operator of a broker.
func documentedCommands(t *testing.T) (commands [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Rights at the broker\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "rabbitmqctl "); ok {
			commands = append(commands, strings.Fields(strings.ReplaceAll(command, "'", "")))
		}
	}
	if len(commands) != 4 {
		t.Fatalf("docs/operations.md has the commands %q, want 4", commands)
	}
	return commands
}
