package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// stage is a mailer with its own queue on the broker from the environment.
type stage struct {
	t                        *testing.T
	program, url, queue, dir string
	broker                   *amqp.Channel
	publisher                *rabbitmq.Publisher
	stop                     func()   // kills the mailer, like kill -9
	said                     string   // output of the mailers that have ended
	events                   []string // ids of the events
}

func newStage(t *testing.T) *stage {
	t.Helper()
	env := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			t.Fatalf("%s is not set: use make test, or: tools/dev/with-services go test ./docs/examples/mailer", name)
		}
		return value
	}
	port, err := strconv.Atoi(env("RABBITMQ_PORT"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := rabbitmq.Broker{
		Host: env("RABBITMQ_HOST"), Port: port, User: env("RABBITMQ_USER"), Vhost: "/",
		Password: os.Getenv("RABBITMQ_PASS"),
	}
	uri := amqp.URI{Scheme: "amqp", Host: cfg.Host, Port: port, Username: cfg.User, Password: env("RABBITMQ_PASS"), Vhost: "/"}
	s := &stage{t: t, url: uri.String(), queue: "mailer-" + strings.ToLower(rand.Text()), dir: filepath.Join(t.TempDir(), "mails")}
	s.program = filepath.Join(t.TempDir(), "mailer")
	if out, err := exec.Command("go", "build", "-o", s.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the mailer: %v\n%s", err, out)
	}
	s.connect()
	s.publisher = rabbitmq.New(cfg, rabbitmq.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.publisher.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	testkit.WaitFor(s.t, "the publisher", func() bool { return s.publisher.Check(ctx) == nil })
	return s
}

// connect opens the test's own connection, which removes the queues at the end.
func (s *stage) connect() {
	s.t.Helper()
	conn, err := amqp.Dial(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.broker, err = conn.Channel(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		for _, queue := range []string{s.queue, s.queue + ".dead"} {
			if _, err := s.broker.QueueDelete(queue, false, false, false); err != nil {
				s.t.Error(err)
			}
		}
		_ = conn.Close()
	})
}

// start runs the mailer until it is stopped, or the test ends.
func (s *stage) start() {
	s.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(s.program, "-queue", s.queue, "-dir", s.dir)
	cmd.Env = []string{"AMQP_URL=" + s.url}
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s.said += "\n" + said.String()
	})
	s.t.Cleanup(func() {
		s.stop()
		if s.t.Failed() {
			s.t.Logf("the output of the mailer:\n%s", said.String())
		}
	})
}

// publish publishes events like the service: it retries until the broker confirms all of them.
func (s *stage) publish(events ...event.Event) {
	s.t.Helper()
	testkit.WaitFor(s.t, "the broker's confirms", func() bool {
		return errors.Join(s.publisher.Publish(s.t.Context(), events)...) == nil
	})
}

// waiting returns the number of ready messages in a queue.
func (s *stage) waiting(queue string) int {
	s.t.Helper()
	found, err := s.broker.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return found.Messages
}

// mails returns the emails of this test's events by event id. Other tests use the same exchange.
func (s *stage) mails() map[string]string {
	s.t.Helper()
	mails := map[string]string{}
	for _, id := range s.events {
		text, err := os.ReadFile(filepath.Join(s.dir, id+".eml"))
		if err == nil {
			mails[id] = string(text)
		} else if !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
	}
	return mails
}

const token = "a-token-of-these-tests"

// request creates an event with a token to be sent by email.
func (s *stage) request(typ event.Type, expires time.Time) event.Event {
	s.t.Helper()
	user := map[string]string{"email": "ada@example.com", "name": "Ada"}
	e, err := event.New(typ, uuid.New(), 1, time.Now(), event.TokenIssued{User: user, Token: token, ExpiresAt: expires})
	if err != nil {
		s.t.Fatal(err)
	}
	s.events = append(s.events, e.ID.String())
	return e
}

func TestTheMailerSendsEachMailOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := declare(s.broker, s.queue); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour)
	reset, verification := s.request(event.PasswordResetRequested, soon), s.request(event.EmailVerificationRequested, soon)
	late := s.request(event.PasswordResetRequested, time.Now().Add(-time.Second))
	changed := s.request(event.PasswordChanged, soon) // no email belongs to this type

	s.publish(reset) // before the mailer starts; the queue keeps the event
	s.start()
	s.publish(verification, late, changed, reset)
	testkit.WaitFor(s.t, "two mails", func() bool { return len(s.mails()) == 2 })
	s.stop()
	s.publish(verification, reset) // a duplicate after a restart
	last := s.request(event.PasswordResetRequested, soon)
	s.publish(last)
	s.start()
	testkit.WaitFor(s.t, "the last mail", func() bool { return s.mails()[last.ID.String()] != "" })

	mails := s.mails()
	if len(mails) != 3 {
		t.Errorf("%d mails were sent, want 3", len(mails))
	}
	for e, path := range map[*event.Event]string{&reset: "/new-password", &verification: "/confirm-email"} {
		mail := mails[e.ID.String()]
		for _, want := range []string{`To: <ada@example.com>`, "https://app.example.com" + path + "#token=" + token} {
			if !strings.Contains(mail, want) {
				t.Errorf("the mail for %s does not contain %q:\n%s", e.Type, want, mail)
			}
		}
	}
	s.stop()
	for _, e := range []event.Event{reset, verification, last} {
		if n := strings.Count(s.said, "\nsent "+e.ID.String()); n != 1 {
			t.Errorf("the mail for %s was sent %d times", e.Type, n)
		}
	}
	for _, secret := range []string{token, "ada@example.com"} {
		if strings.Contains(s.said, secret) {
			t.Errorf("the mailer prints %q", secret)
		}
	}
	testkit.WaitFor(s.t, "an empty queue", func() bool { return s.waiting(s.queue) == 0 })
	if dead := s.waiting(s.queue + ".dead"); dead != 0 {
		t.Errorf("%d events are dead-lettered", dead)
	}
}

func TestTheMailerSetsUnreadableMessagesAside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := declare(s.broker, s.queue); err != nil {
		t.Fatal(err)
	}
	s.start()
	unreadable := []string{
		"not JSON", `{"id":"019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072"}`,
		fmt.Sprintf(`{"id":%q,"type":"user.password_reset_requested","data":{"user":{"email":"a@b.c\r\nBcc: eve@example.com"},`+
			`"token":"t","expires_at":"2100-01-01T00:00:00Z"}}`, uuid.New()),
	}
	for _, body := range unreadable { // only to this queue
		if err := s.broker.PublishWithContext(t.Context(), "", s.queue, true, false, amqp.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(s.t, "the dead letters", func() bool { return s.waiting(s.queue+".dead") == len(unreadable) })
	s.publish(s.request(event.PasswordResetRequested, time.Now().Add(time.Hour)))
	testkit.WaitFor(s.t, "the mail after them", func() bool { return len(s.mails()) == 1 })
}
