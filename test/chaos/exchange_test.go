package chaos_test

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// TestAnExchangeThatIsThereIsUsed publishes to an exchange that the operator has declared: with other arguments than the service would
// give it, and as a user who may only write. Where there is none, such a user connects once the operator has declared it.
func TestAnExchangeThatIsThereIsUsed(t *testing.T) { //nolint:paralleltest // it has a broker of its own beside those of the schedules
	r := &rig{t: t, broker: own(t, "rabbitmq")[0]}
	for _, args := range append(documentedCommands(t),
		[]string{"add_user", "writer", "writer"}, []string{"set_permissions", "writer", "^$", "^user_events$", "^$"},
		[]string{"add_vhost", "empty"}, []string{"set_permissions", "-p", "empty", "app", ".*", ".*", ".*"},
		[]string{"set_permissions", "-p", "empty", "writer", "^$", "^user_events$", "^$"},
	) {
		if err := r.rabbitmqctl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	log, p := r.publisher("user_service", "")
	waitFor(t, "the documented user to connect", func() bool { return p.Check(t.Context()) == nil })
	r.mustPublish(p)
	if strings.Contains(log.String(), "is used as it is") {
		t.Errorf("the documented user has not declared the exchange:\n%s", log)
	}
	r.onExchange("", func(channel *amqp.Channel) error { return channel.ExchangeDelete(rabbitmq.Exchange, false, false) })
	r.declare("", amqp.Table{"alternate-exchange": "amq.fanout"})
	for _, user := range []string{"app", "user_service", "writer"} {
		log, p = r.publisher(user, "")
		waitFor(t, user+" to connect", func() bool { return p.Check(t.Context()) == nil })
		r.mustPublish(p)
		if n := strings.Count(log.String(), "is used as it is"); n != 1 {
			t.Errorf("%s: the log tells %d times that the exchange is used as it is:\n%s", user, n, log)
		}
	}

	log, p = r.publisher("writer", "empty")
	waitFor(t, "the reason in the log", func() bool { return strings.Contains(log.String(), "find it: Exception (404)") })
	r.declare("empty", nil)
	waitFor(t, "the writer to connect", func() bool { return p.Check(t.Context()) == nil })
	r.mustPublish(p)
}

// publisher runs a Publisher until the test ends.
func (r *rig) publisher(user, vhost string) (*lockedLog, *rabbitmq.Publisher) {
	r.t.Helper()
	port, err := strconv.Atoi(r.broker.env["RABBITMQ_PORT"])
	if err != nil {
		r.t.Fatal(err)
	}
	password := map[string]string{"app": r.broker.env["RABBITMQ_PASS"], "writer": "writer", "user_service": "change-me"}[user]
	log := &lockedLog{}
	p := rabbitmq.New(rabbitmq.Config{Host: r.broker.env["RABBITMQ_HOST"], Port: port, User: user, Password: password, Vhost: vhost},
		slog.New(slog.NewTextHandler(log, nil)), nil)
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(r.t.Context()) }) // the context ends before the cleanups
	r.t.Cleanup(running.Wait)
	return log, p
}

func (r *rig) mustPublish(p *rabbitmq.Publisher) {
	r.t.Helper()
	e := event.Event{ID: uuid.New(), Type: event.UserDeleted, Subject: uuid.New(), UserVersion: 2, Time: time.Now(), Data: []byte("{}")}
	if err := p.Publish(r.t.Context(), []event.Event{e})[0]; err != nil {
		r.t.Error(err)
	}
}

// declare makes the exchange as an operator does.
func (r *rig) declare(vhost string, args amqp.Table) {
	r.t.Helper()
	r.onExchange(vhost, func(channel *amqp.Channel) error {
		return channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, args)
	})
}

func (r *rig) onExchange(vhost string, do func(*amqp.Channel) error) {
	r.t.Helper()
	conn, err := amqp.Dial(r.brokerURL() + vhost)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = do(channel)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// documentedCommands returns what docs/operations.md has the operator of a broker run.
func documentedCommands(t *testing.T) (commands [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Rights at the broker\n")
	_, section, _ = strings.Cut(section, "```sh\n")
	block, _, found := strings.Cut(section, "```")
	for line := range strings.Lines(block) {
		commands = append(commands, strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "rabbitmqctl "), "'", "")))
	}
	if !found || len(commands) != 2 {
		t.Fatalf("docs/operations.md has the commands %q", commands)
	}
	return commands
}

// lockedLog is a log that a test reads while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
