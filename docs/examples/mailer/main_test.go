package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
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
	stop                     func()          // kills the last mailer, like kill -9
	said                     *testkit.Buffer // output of the mailers that share the queue
	events                   []string        // ids of the events
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
	s := &stage{
		t: t, url: uri.String(), said: &testkit.Buffer{},
		queue: "mailer-" + strings.ToLower(rand.Text()), dir: filepath.Join(t.TempDir(), "mails"),
	}
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
		if err := s.broker.ExchangeDelete(s.queue+".dead", false, false); err != nil {
			s.t.Error(err)
		}
		_ = conn.Close()
	})
}

// start runs a mailer until it is stopped, or the test ends, and waits until the mailer reports that it is up.
func (s *stage) start() (said *testkit.Buffer) {
	s.t.Helper()
	said = &testkit.Buffer{}
	cmd := exec.CommandContext(context.Background(), s.program, "-queue", s.queue, "-dir", s.dir)
	cmd.Env = []string{"AMQP_URL=" + s.url}
	cmd.Stdout = io.MultiWriter(said, s.said)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.stop = stop
	s.t.Cleanup(func() {
		stop()
		if s.t.Failed() {
			s.t.Logf("the output of a mailer:\n%s", said)
		}
	})
	testkit.WaitFor(s.t, "the mailer", func() bool { return strings.Contains(said.String(), "waiting for events on the queue "+s.queue) })
	return said
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
		found, err := filepath.Glob(filepath.Join(s.dir, "*", id+".eml"))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, name := range found {
			text, err := os.ReadFile(name)
			if err != nil {
				s.t.Fatal(err)
			}
			mails[id] = string(text)
		}
	}
	return mails
}

const (
	token   = "a-token-of-these-tests"
	anyText = "You have won! Open https://example.net" // as the name of an account
)

// request creates an event of a new user, with a token to be sent by email.
func (s *stage) request(typ event.Type, expires time.Time) event.Event {
	s.t.Helper()
	return s.event(typ, uuid.New(), event.TokenIssued{
		User: map[string]string{"email": "ada@example.com", "name": anyText}, Token: token, ExpiresAt: expires,
	})
}

func (s *stage) event(typ event.Type, user uuid.UUID, data any) event.Event {
	s.t.Helper()
	e, err := event.New(typ, user, 1, time.Now(), data)
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
	invitation := s.request(event.InvitationRequested, soon)
	late := s.request(event.PasswordResetRequested, time.Now().Add(-time.Second))
	changed := s.request(event.PasswordChanged, soon) // no email belongs to this type

	s.publish(reset) // before the mailer starts; the queue keeps the event
	s.start()
	s.publish(verification, invitation, late, changed, reset)
	testkit.WaitFor(s.t, "three mails", func() bool { return len(s.mails()) == 3 })
	s.stop()
	s.publish(verification, reset) // a duplicate after a restart
	last := s.request(event.PasswordResetRequested, soon)
	s.publish(last)
	s.start()
	testkit.WaitFor(s.t, "the last mail", func() bool { return s.mails()[last.ID.String()] != "" })

	mails := s.mails()
	if len(mails) != 4 {
		t.Errorf("%d mails were sent, want 4", len(mails))
	}
	for e, path := range map[*event.Event]string{&reset: "/reset-password", &verification: "/verify-email", &invitation: "/invitation"} {
		mail := mails[e.ID.String()]
		link := "https://app.example.com" + path + "#token=" + token
		for _, want := range []string{`From: "Example" <`, "To: <ada@example.com>\r\n", "Date: ", link} {
			if !strings.Contains(mail, want) {
				t.Errorf("the mail for %s does not contain %q:\n%s", e.Type, want, mail)
			}
		}
		if strings.Contains(mail, "won") {
			t.Errorf("the mail for %s contains the name of the user:\n%s", e.Type, mail)
		}
	}
	s.stop()
	said := s.said.String()
	for _, e := range []event.Event{reset, verification, invitation, last} {
		if n := strings.Count(said, "sent "+e.ID.String()); n != 1 {
			t.Errorf("the mail for %s was sent %d times", e.Type, n)
		}
	}
	for _, secret := range []string{token, "ada@example.com"} {
		if strings.Contains(said, secret) {
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
		"not JSON", `{"id":"019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072"}`, `{"id":"019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072","type":"user.deleted"}`,
		fmt.Sprintf(`{"id":%q,"subject":%q,"type":"user.password_reset_requested",`+
			`"data":{"user":{"email":"a@b.c\r\nBcc: eve@example.com"},`+
			`"token":"t","expires_at":"2100-01-01T00:00:00Z"}}`, uuid.New(), uuid.New()),
	}
	unknown := fmt.Sprintf(`{"id":%q,"subject":%q,"type":"user.of_a_later_version","data":{}}`, uuid.New(), uuid.New())
	for _, body := range append(unreadable, unknown) { // only to this queue
		if err := s.broker.PublishWithContext(t.Context(), "", s.queue, true, false, amqp.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(s.t, "the dead letters", func() bool { return s.waiting(s.queue+".dead") == len(unreadable) })
	s.publish(s.request(event.PasswordResetRequested, time.Now().Add(time.Hour)))
	testkit.WaitFor(s.t, "the mail after them", func() bool { return len(s.mails()) == 1 })
	ignored := strings.Contains(s.said.String(), "ignored an event of another type")
	if dead := s.waiting(s.queue + ".dead"); dead != len(unreadable) || !ignored {
		t.Errorf("%d events are dead-lettered, want %d; the output is\n%s", dead, len(unreadable), s.said)
	}
}

// TestADuplicateRestoresNoErasedUser delivers events of a user again after the erasure of the user.
func TestADuplicateRestoresNoErasedUser(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	soon := time.Now().Add(time.Hour)
	erased, other := s.request(event.PasswordResetRequested, soon), s.request(event.PasswordResetRequested, soon)
	s.publish(erased, other)
	testkit.WaitFor(t, "two mails", func() bool { return len(s.mails()) == 2 })
	s.publish(s.event(event.UserDeleted, erased.Subject, event.Subject{ID: erased.Subject}))
	testkit.WaitFor(t, "the erasure", func() bool { return s.mails()[erased.ID.String()] == "" })

	late := s.event(event.EmailVerificationRequested, erased.Subject, event.TokenIssued{
		User: map[string]string{"email": "ada@example.com"}, Token: token, ExpiresAt: soon,
	})
	last := s.request(event.PasswordResetRequested, soon)
	s.publish(erased, late, last)
	testkit.WaitFor(t, "the last mail", func() bool { return s.mails()[last.ID.String()] != "" })
	for _, e := range []event.Event{erased, late} {
		if mail := s.mails()[e.ID.String()]; mail != "" {
			t.Errorf("a duplicate after the erasure is handled as a new event: %s", mail)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.dir, erased.Subject.String()+"*"))
	if err != nil || len(left) != 1 || filepath.Ext(left[0]) != ".erased" {
		t.Errorf("%q is left of the erased user, %v; want only the tombstone", left, err)
	}
	if text, err := os.ReadFile(left[0]); err != nil || len(text) > 0 {
		t.Errorf("the tombstone contains %q, %v; want nothing", text, err)
	}
}

// TestOneReplicaGetsAllEvents starts two replicas. The second one takes over when the first one is killed.
func TestOneReplicaGetsAllEvents(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.start()
	stopFirst := s.stop
	second := s.start()
	send := func(to *testkit.Buffer) {
		var all []event.Event
		for range 20 {
			all = append(all, s.request(event.PasswordResetRequested, time.Now().Add(time.Hour)))
		}
		s.publish(all...)
		for _, e := range all { // the queue has the events of other tests too
			testkit.WaitFor(t, "the mail by this replica", func() bool { return strings.Contains(to.String(), "\nsent "+e.ID.String()) })
		}
	}
	send(first)
	if strings.Contains(second.String(), "sent ") {
		t.Errorf("the second replica has sent mails too:\n%s", second)
	}
	stopFirst()
	send(second)
}

// TestARetryKeepsTheOrder makes the first mail of a user fail, by a file at the place of the user's folder.
func TestARetryKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	said := s.start()
	soon := time.Now().Add(time.Hour)
	first := s.request(event.PasswordResetRequested, soon)
	second := s.event(event.EmailVerificationRequested, first.Subject, event.TokenIssued{
		User: map[string]string{"email": "ada@example.com"}, Token: token, ExpiresAt: soon,
	})
	obstacle := filepath.Join(s.dir, first.Subject.String())
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.publish(first, second)
	testkit.WaitFor(t, "the failure", func() bool { return strings.Contains(said.String(), "failed, trying again "+first.ID.String()) })
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "both mails", func() bool { return strings.Contains(said.String(), "\nsent "+second.ID.String()) })
	if text := said.String(); strings.Index(text, "\nsent "+first.ID.String()) > strings.Index(text, "\nsent "+second.ID.String()) ||
		strings.Contains(text, "failed, trying again "+second.ID.String()) {
		t.Errorf("the second mail does not wait for the first one:\n%s", text)
	}
}

// TestMisconfigurationIsReported checks that the program says what to do, and does not print the password.
func TestMisconfigurationIsReported(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := declare(s.broker, s.queue); err != nil {
		t.Fatal(err)
	}
	classic := s.queue + "-classic"
	if _, err := s.broker.QueueDeclare(classic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{classic, classic + ".dead"} {
			_, _ = s.broker.QueueDelete(name, false, false, false)
		}
		_ = s.broker.ExchangeDelete(classic+".dead", false, false)
	})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const password = "nine-blue-lanterns"
	for name, c := range map[string]struct {
		url  string
		args []string
		want string
		code int // -1: the program goes on
	}{
		"no URL":            {"", nil, "AMQP_URL is not set: set it to the broker", 2},
		"no AMQP URL":       {"http://app:" + password + "@127.0.0.1/", nil, "AMQP_URL is not the URL of a broker", 2},
		"an unescaped %":    {"amqp://app:%zz" + password + "@127.0.0.1/", nil, "AMQP_URL is not the URL of a broker", 2},
		"no folder":         {s.url, []string{"-dir", file}, "-dir is not a folder", 2},
		"no broker":         {"amqp://app:" + password + "@" + testkit.FreeAddress(t) + "/", nil, "connect: dial tcp", -1},
		"a wrong password":  {strings.Replace(s.url, os.Getenv("RABBITMQ_PASS"), password, 1), nil, "username or password not allowed", -1},
		"an existing queue": {s.url, []string{"-queue", classic}, "it exists with other arguments, so delete it", -1},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, s.program, append([]string{"-dir", t.TempDir()}, c.args...)...)
		said := &testkit.Buffer{}
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"AMQP_URL=" + c.url}, said, said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.WaitFor(t, name, func() bool { return strings.Contains(said.String(), c.want) })
		if c.code < 0 {
			cancel()
		}
		_ = cmd.Wait()
		cancel()
		if got := cmd.ProcessState.ExitCode(); got != c.code {
			t.Errorf("%s: exit code %d, want %d", name, got, c.code)
		}
		if strings.Contains(said.String(), password) || strings.Contains(said.String(), "waiting for events") {
			t.Errorf("%s: the output is %s, want no password and no success", name, said)
		}
	}
}
