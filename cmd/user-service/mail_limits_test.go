package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/mail/mailtest"
)

// publishToken creates an account with an address, and publishes an event with a token for the account.
func publishToken(t *testing.T, db *pgx.Conn, channel *amqp.Channel, typ, address string, verified bool) {
	t.Helper()
	id := uuid.New()
	mustExec(t, db, `INSERT INTO users (id, email, email_key, email_verified, status, version, created_at, updated_at)
		VALUES ($1, $2, $2, $3, 'active', 1, now(), now())`, id, address, verified)
	body, err := event.Event{
		ID: uuid.New(), Type: event.Type(typ), Subject: id, Time: time.Now(), Data: fmt.Appendf(nil,
			`{"user":{"email":%q},"token":"planted","expires_at":%q}`, address, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)),
	}.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.PublishWithContext(t.Context(), "user_events", typ, true, false, amqp.Publishing{Body: body}); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyDelaysTheMailsOfVerifiedAddresses fills the queue with mails that anonymous callers can cause: confirmations of new addresses,
// and resets of unverified accounts. The mail server accepts none of them. A reset for a verified address and an invitation must be sent
// before all these mails.
func TestNobodyDelaysTheMailsOfVerifiedAddresses(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	db, server := connect(t, env["DATABASE_URL"]), mailtest.Start(t, mailtest.Options{})
	release := make(chan struct{})
	server.AcceptTo(func(recipient string) error {
		if strings.HasPrefix(recipient, "flood") {
			<-release
		}
		return nil
	})
	channel := mailChannel(t, env)
	m := &mailerProcess{t: t, env: mailerEnvironment(env, server.Address)}
	m.start()
	const flood = 300
	for n := range flood {
		typ := "user.email_verification_requested"
		if n%2 == 1 {
			typ = "user.password_reset_requested"
		}
		publishToken(t, db, channel, typ, fmt.Sprintf("flood%d@example.com", n), false)
	}
	testkit.WaitFor(t, "workers that are all busy", func() bool { return server.Sessions() >= mailWorkers })
	publishToken(t, db, channel, "user.password_reset_requested", "ada@example.com", true)
	publishToken(t, db, channel, "user.invitation_requested", "eve@example.com", false)
	testkit.WaitFor(t, "the urgent mails", func() bool { return len(server.Mails()) >= 2 })
	for _, sent := range server.Mails()[:2] {
		if strings.HasPrefix(sent.To, "flood") {
			t.Errorf("a mail to %s was sent first", sent.To)
		}
	}
	close(release)
	testkit.WaitFor(t, "all other mails", func() bool { return len(server.Mails()) == flood+2 })
}

// TestSlowRecipientsDelayNoOtherMail uses a mail server that does not answer RCPT for many addresses, as if it waited for their servers.
// Mails to other addresses must still be sent.
func TestSlowRecipientsDelayNoOtherMail(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	db, server := connect(t, env["DATABASE_URL"]), mailtest.Start(t, mailtest.Options{})
	release := make(chan struct{})
	defer close(release)
	server.AnswerTo(func(recipient string) error {
		if strings.HasPrefix(recipient, "slow") {
			<-release
		}
		return nil
	})
	channel := mailChannel(t, env)
	m := &mailerProcess{t: t, env: mailerEnvironment(env, server.Address)}
	m.start()
	request := func(address string) {
		t.Helper()
		publishToken(t, db, channel, "user.password_reset_requested", address, true)
	}
	const slow = 24 // 180 s for four workers that wait 30 s
	for n := range slow {
		request(fmt.Sprintf("slow%d@example.com", n))
	}
	request("ada@example.com")
	testkit.WaitFor(t, "the mail after many slow recipients", func() bool { return len(server.Mails()) == 1 })
	testkit.WaitFor(t, "a second attempt", func() bool { return server.Sessions() > slow+1 })
	request("eve@example.com")
	testkit.WaitFor(t, "the mail during slow retries", func() bool { return len(server.Mails()) == 2 })
	const available = "user_service_mailer_smtp_available 1\n"
	if metrics := m.get("/metrics"); !strings.Contains(metrics, available) {
		t.Error("slow recipients make the mail server count as unavailable")
	}
}

// TestAnErasureRemovesAParkedMail parks a mail, erases its user, and restarts the mailer, which checks the parked events at its start and
// every hour.
func TestAnErasureRemovesAParkedMail(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	service, server := startReplica(t, env, nil), mailtest.Start(t, mailtest.Options{})
	server.AnswerTo(func(string) error { return mailtest.Refuse(550, 5) })
	channel := mailChannel(t, env)
	m := &mailerProcess{t: t, env: mailerEnvironment(env, server.Address)}
	m.start()
	credentials := map[string]any{"email": "mistyped@example.com", "password": "seven green kettles sing"}
	service.must(http.MethodPost, "/register", map[string]any{
		"email": credentials["email"], "password": credentials["password"], "name": "Ada Lovelace",
		"metadata": map[string]any{"note": "planted"},
	}, nil)
	parked := func() (message amqp.Delivery, found bool) {
		message, found, err := channel.Get(mailQueue+".parked", false)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			if err := message.Nack(false, true); err != nil {
				t.Fatal(err)
			}
		}
		return message, found
	}
	testkit.WaitFor(t, "a parked event", func() bool {
		message, found := parked()
		if found && (strings.Contains(string(message.Body), "Lovelace") || strings.Contains(string(message.Body), "planted")) {
			t.Fatalf("the parked event has more than the mail needs: %s", message.Body)
		}
		return found
	})
	var tokens struct {
		Access string `json:"access_token"`
	}
	service.must(http.MethodPost, "/login", credentials, &tokens)
	if status, err := service.call(http.MethodDelete, "/users/me", tokens.Access, nil, nil); err != nil || status != http.StatusNoContent {
		t.Fatal(status, err)
	}
	m.terminate()
	m.start()
	testkit.WaitFor(t, "the removal", func() bool { return strings.Contains(m.log.String(), "removed obsolete parked messages") })
	if message, found := parked(); found {
		t.Errorf("after the erasure, %s is parked", message.Body)
	}
}
