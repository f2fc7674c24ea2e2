package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
)

// TestTheConsumersOfTheGuide runs each command of docs/consumers.md on a broker. The sample mailer has enough rights. A copy of users may
// bind no event with a token. Partitions keep the order of a user's events.
func TestTheConsumersOfTheGuide(t *testing.T) { //nolint:paralleltest // it starts a broker in addition to the brokers of the schedules
	b := &exchanges{t: t, broker: newBroker(t, 1)}
	if err := b.up(); err != nil {
		t.Fatal(err)
	}
	plugins, imports, users := consumerCommands(t)
	b.operate(users...)
	said := b.startMailer()
	testkit.WaitFor(t, "the reason in the mailer's output", func() bool {
		return strings.Contains(said.String(), "start the user service first")
	})
	b.operate(plugins, imports) // declares the exchange too
	testkit.WaitFor(t, "the mailer", func() bool { return strings.Contains(said.String(), "waiting for events on the queue mailer") })
	b.wantDeadLetter(said)
	b.wantErasure(said)
	b.wantBindings("search", map[string]bool{
		"user.created": true, "user.updated": true, "user.deleted": true, "user.snapshot": true, "user.*": false, "#": false,
		"user.password_reset_requested": false, "user.email_verification_requested": false, "user.invitation_requested": false,
		"user.logged_in": false,
	})
	b.wantPartitions()
}

// consumerCommands returns the commands of docs/consumers.md.
func consumerCommands(t *testing.T) (plugins, imports []string, users [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/consumers.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		words := strings.Fields(strings.ReplaceAll(line, "'", ""))
		switch {
		case strings.HasPrefix(line, "rabbitmq-plugins "):
			plugins = words
		case strings.HasPrefix(line, "rabbitmqctl import_definitions "):
			imports = words
			imports[2] = filepath.Join("..", "..", imports[2])
		case strings.HasPrefix(line, "rabbitmqctl "):
			users = append(users, words)
		}
	}
	if len(plugins) != 3 || len(imports) != 3 || len(users) != 6 {
		t.Fatalf("docs/consumers.md has the commands %q, %q, %q", plugins, imports, users)
	}
	return plugins, imports, users
}

// operate runs commands with the configuration of the node.
func (b *exchanges) operate(commands ...[]string) {
	b.t.Helper()
	node := b.node(0)
	for _, words := range commands {
		args := append([]string{"-n", node.name}, words[1:]...)
		cmd := exec.CommandContext(b.t.Context(), rabbitProgram(words[0]), args...)
		cmd.Env = node.env
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Fatalf("%q: %v: %s", words, err, out)
		}
	}
}

// url returns the address of the broker for a user of the documentation.
func (b *exchanges) url(user string) string {
	return fmt.Sprintf("amqp://%s:change-me@%s/", user, b.node(0).addr)
}

// startMailer runs the sample mailer until the test ends, and returns its output.
func (b *exchanges) startMailer() *testkit.Buffer {
	b.t.Helper()
	program := filepath.Join(b.t.TempDir(), "mailer")
	build := exec.CommandContext(b.t.Context(), "go", "build", "-o", program, "user-service/docs/examples/mailer")
	if out, err := build.CombinedOutput(); err != nil {
		b.t.Fatalf("build the mailer: %v: %s", err, out)
	}
	said := &testkit.Buffer{}
	cmd := exec.CommandContext(context.Background(), program, "-dir", filepath.Join(b.t.TempDir(), "mails"))
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{"AMQP_URL=" + b.url("mailer")}, said, said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() {
			b.t.Logf("the output of the mailer:\n%s", said)
		}
	})
	return said
}

// wantDeadLetter sends the mailer a message that it can't read.
func (b *exchanges) wantDeadLetter(said *testkit.Buffer) {
	b.t.Helper()
	b.onExchange("", func(channel *amqp.Channel) error {
		return channel.PublishWithContext(b.t.Context(), "", "mailer", true, false, amqp.Publishing{Body: []byte("not JSON")})
	})
	testkit.WaitFor(b.t, "the dead letter", func() bool {
		return strings.Contains(said.String(), "dead-lettered") && b.waiting("mailer.dead") == 1
	})
}

// wantErasure publishes an erasure, which the mailer receives.
func (b *exchanges) wantErasure(said *testkit.Buffer) {
	b.t.Helper()
	_, p := b.publisher("app", "")
	testkit.WaitFor(b.t, "the publisher", func() bool { return p.Check(b.t.Context()) == nil })
	b.mustPublish(p)
	testkit.WaitFor(b.t, "the erasure", func() bool { return strings.Contains(said.String(), "erased a user by") })
}

// waiting returns the number of ready messages in a queue.
func (b *exchanges) waiting(queue string) (n int) {
	b.t.Helper()
	b.onExchange("", func(channel *amqp.Channel) error {
		found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = found.Messages
		return err
	})
	return n
}

// wantBindings binds the queue of a consumer, as its user, with each key. The map contains whether a key is allowed.
func (b *exchanges) wantBindings(consumer string, allowed map[string]bool) {
	b.t.Helper()
	conn, err := amqp.Dial(b.url(consumer))
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for key, want := range allowed {
		channel, err := conn.Channel() // a refusal closes the channel
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := channel.QueueDeclare(consumer, true, false, false, false, nil); err != nil {
			b.t.Fatal(err)
		}
		if err := channel.QueueBind(consumer, key, "user_events", false, nil); (err == nil) != want {
			b.t.Errorf("%s binds %s: %v, want success %t", consumer, key, err, want)
		}
	}
}

// wantPartitions publishes events of many users, and requires that each queue has all events of a part of the users, in order.
func (b *exchanges) wantPartitions() {
	b.t.Helper()
	const users, changes = 40, 3
	want := map[string][]string{} // the ids of the events by user
	var events []event.Event
	for range users {
		user := uuid.New()
		for range changes {
			e := event.Event{ID: uuid.New(), Type: event.UserUpdated, Subject: user, UserVersion: 1, Time: time.Now(), Data: []byte("{}")}
			events, want[user.String()] = append(events, e), append(want[user.String()], e.ID.String())
		}
	}
	_, p := b.publisher("app", "")
	testkit.WaitFor(b.t, "the publisher", func() bool { return p.Check(b.t.Context()) == nil })
	if err := errors.Join(p.Publish(b.t.Context(), events)...); err != nil {
		b.t.Fatal(err)
	}
	testkit.WaitFor(b.t, "the events in the queues", func() bool { return b.waiting("search.1")+b.waiting("search.2") >= len(events) })
	seen := 0
	for _, queue := range []string{"search.1", "search.2"} {
		got := b.drain(queue, want)
		if seen += len(got); len(got) == 0 || len(got) == users {
			b.t.Errorf("%s has the events of %d users, want a part of %d", queue, len(got), users)
		}
		for user, order := range got {
			if !slices.Equal(order, want[user]) {
				b.t.Errorf("%s has the events %q, want %q", queue, order, want[user])
			}
		}
	}
	if seen != users {
		b.t.Errorf("the queues have the events of %d users, want %d", seen, users)
	}
}

// drain receives all messages of a queue, and returns the ids of the events of these users, by user.
func (b *exchanges) drain(queue string, users map[string][]string) map[string][]string {
	b.t.Helper()
	got := map[string][]string{}
	b.onExchange("", func(channel *amqp.Channel) error {
		found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			return err
		}
		deliveries, err := channel.ConsumeWithContext(b.t.Context(), queue, "", true, false, false, false, nil)
		if err != nil {
			return err
		}
		for range found.Messages {
			d := testkit.Receive(b.t, "a message of "+queue, deliveries)
			if user := fmt.Sprint(d.Headers["subject"]); users[user] != nil {
				got[user] = append(got[user], d.MessageId)
			}
		}
		return nil
	})
	return got
}
