package mail_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/mail"
	"user-service/pkg/mail/mailtest"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// secretToken is a token that must not be in a log.
const secretToken = "planted-token"

// stage is a mailer with its own database and its own mail server.
type stage struct {
	t      *testing.T
	dsn    string
	server *mailtest.Server
	mailer *mail.Mailer
	log    *testkit.Buffer

	mu      sync.Mutex
	results []string // kind and result of each event
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dsn: postgrestest.URL(t), server: mailtest.Start(t, mailtest.Options{}), log: &testkit.Buffer{}}
	s.mailer = s.another(postgrestest.Connect(t, s.dsn, nil))
	t.Cleanup(func() {
		for _, secret := range []string{secretToken, "@example.com", "Buy now"} {
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("the log has %q:\n%s", secret, s.log)
			}
		}
	})
	return s
}

// another returns another mailer with this mail server, and with a connection to the database.
func (s *stage) another(store mail.Store) *mail.Mailer {
	s.t.Helper()
	transport, err := mail.NewTransport("smtp://" + s.server.Address + "?tls=none")
	if err != nil {
		s.t.Fatal(err)
	}
	return mail.New(store, load(s.t, ""), transport, mail.Config{From: from, Log: slog.New(slog.NewJSONHandler(s.log, nil)), Observer: s})
}

func (s *stage) MailHandled(kind, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, strings.TrimSpace(kind+" "+result))
}

func (s *stage) MailAttempted(time.Duration, bool) {}

// execute runs a statement, and returns the number of rows that it has changed.
func (s *stage) execute(sql string, args ...any) int64 {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tag, err := conn.Exec(s.t.Context(), sql, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return tag.RowsAffected()
}

// account creates an account. Its name and its metadata must not be in any mail.
func (s *stage) account(email, locale string) uuid.UUID {
	s.t.Helper()
	id := uuid.New()
	s.execute(`INSERT INTO users (id, email, email_key, name, metadata, locale, status, version, created_at, updated_at)
		VALUES ($1, $2, $2, 'Buy now at evil.example', '{"note":"Buy now"}', nullif($3, ''), 'active', 1, '2026-02-03T04:05:06Z', now())`,
		id, email, locale)
	return id
}

// verify verifies the address of an account.
func (s *stage) verify(account uuid.UUID) {
	s.t.Helper()
	s.execute(`UPDATE users SET email_verified = true WHERE id = $1`, account)
}

// message returns the message of a new event. In data it replaces EMAIL by the address, SOON by the time in an hour, and TOKEN by a token.
func (s *stage) message(typ string, account uuid.UUID, email, data string) []byte {
	s.t.Helper()
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	data = strings.NewReplacer("EMAIL", email, "SOON", soon, "TOKEN", secretToken).Replace(data)
	body, err := event.Event{ID: uuid.New(), Type: event.Type(typ), Subject: account, Time: time.Now(), Data: []byte(data)}.CloudEvent()
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

const tokenData = `{"user":{"email":"EMAIL","name":"Buy now at evil.example","metadata":{"note":"Buy now"}},
	"token":"TOKEN","expires_at":"SOON"}`

// reset returns the message of a requested password reset for a new account.
func (s *stage) reset() []byte {
	s.t.Helper()
	return s.message("user.password_reset_requested", s.account("ada@example.com", ""), "ada@example.com", tokenData)
}

// handle handles a message, and checks the disposition and a part of the reason.
func (s *stage) handle(body []byte, age time.Duration, want mail.Disposition, part string) {
	s.t.Helper()
	disposition, reason := s.mailer.Handle(s.t.Context(), body, age)
	if disposition != want || !strings.Contains(reason, part) || (reason == "") != (want == mail.Done) {
		s.t.Errorf("the disposition is %d, %q, want %d, %q", disposition, reason, want, part)
	}
}

// wantsOne checks that exactly one mail was sent, and that the events had these results.
func (s *stage) wantsOne(results ...string) {
	s.t.Helper()
	if got := len(s.server.Mails()); got != 1 {
		s.t.Errorf("%d mails were sent, want 1", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(results, s.results); diff != "" {
		s.t.Errorf("the results differ (-want +got):\n%s", diff)
	}
}

// TestEachKindIsSentWithoutTextOfTheAccount sends each kind in both languages to the right address.
func TestEachKindIsSentWithoutTextOfTheAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, locale := range []string{"en", "de"} {
		ada := locale + "-ada@example.com"
		id := s.account(ada, locale)
		for _, typ := range slices.Concat(mail.UrgentTypes(), mail.OtherTypes()) {
			s.execute(`UPDATE users SET email_verified = $2 WHERE id = $1`, id, typ != "user.email_verification_requested")
			data, to := tokenData, ada
			switch typ {
			case "user.updated":
				to = "old@example.com"
				data = `{"user":{"email":"EMAIL","name":"Buy now"},"changed":["email","name"],
					"previous":{"email":"old@example.com","email_verified":true,"name":"Buy now"}}`
			case "user.password_changed":
				data = `{"id":"x"}`
			case "user.factor_added", "user.factor_removed":
				data = `{"factor":{"type":"passkey","name":"Buy now at evil.example"}}`
			}
			before := len(s.server.Mails())
			s.handle(s.message(typ, id, ada, data), 0, mail.Done, "")
			mails := s.server.Mails()
			if len(mails) != before+1 {
				t.Fatalf("%s sends %d mails", typ, len(mails)-before)
			}
			sent := mails[before]
			plain, page := content(t, sent)
			if sent.To != to || sent.Message(t).Header.Get("Content-Language") != locale {
				t.Errorf("%s is sent to %s in %s, want %s in %s", typ, sent.To, sent.Message(t).Header.Get("Content-Language"), to, locale)
			}
			for _, text := range []string{"Buy now", "evil"} {
				if strings.Contains(plain+page+sent.Message(t).Header.Get("Subject"), text) {
					t.Errorf("the mail of %s has a text of the account:\n%s", typ, plain)
				}
			}
		}
	}
}

// TestUrgentMails checks which events of the urgent queue are forwarded to the other queue: only resets to addresses that were never
// verified.
func TestUrgentMails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	urgent := func(typ string, account uuid.UUID, email string, age time.Duration, want mail.Disposition) {
		t.Helper()
		disposition, reason := s.mailer.HandleUrgent(t.Context(), s.message(typ, account, email, tokenData), age)
		if disposition != want || reason != "" {
			t.Errorf("the disposition of %s is %d, %q, want %d", typ, disposition, reason, want)
		}
	}
	const reset = "user.password_reset_requested"
	ada, eve := s.account("ada@example.com", ""), s.account("eve@example.com", "")
	s.verify(ada)
	urgent(reset, eve, "eve@example.com", 0, mail.Forward)
	urgent(reset, eve, "eve@example.com", time.Minute, mail.Forward)
	urgent(reset, eve, "earlier@example.com", 0, mail.Done)
	if n := len(s.server.Mails()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
	urgent(reset, ada, "ada@example.com", 0, mail.Done)
	urgent("user.invitation_requested", eve, "eve@example.com", 0, mail.Done)
	s.handle(s.message(reset, eve, "eve@example.com", tokenData), 0, mail.Done, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	want := []string{
		"password_reset forwarded", "password_reset forwarded", "password_reset outdated", "password_reset sent", "invitation sent",
		"password_reset sent",
	}
	if diff := cmp.Diff(want, s.results); diff != "" {
		t.Errorf("the results differ (-want +got):\n%s", diff)
	}
}

func TestADuplicateIsSentOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := s.reset()
	for range 3 {
		s.handle(body, 0, mail.Done, "")
	}
	s.wantsOne("password_reset sent", "password_reset duplicate", "password_reset duplicate")
}

// TestTwoMailersSendOnce checks that two mailers send one mail when they handle the same event at the same time.
func TestTwoMailersSendOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	mailers := []*mail.Mailer{s.mailer, s.another(postgrestest.Connect(t, s.dsn, nil))}
	id := s.account("ada@example.com", "")
	s.verify(id)
	for range 5 {
		body := s.message("user.password_changed", id, "", `{}`)
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() { _, _ = mailers[n%2].Handle(t.Context(), body, 0) })
		}
		all.Wait()
		if disposition, reason := mailers[1].Handle(t.Context(), body, 0); disposition != mail.Done {
			t.Errorf("afterwards the disposition is %d, %s", disposition, reason)
		}
	}
	if got := len(s.server.Mails()); got != 5 {
		t.Errorf("%d mails were sent for 5 events", got)
	}
}

// TestAClaimOfADeadProcessIsTakenOver claims a mail for a process that never sends it. After StaleClaim another process sends the mail.
func TestAClaimOfADeadProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := s.reset()
	m, _, err := mail.ForEvent(body)
	if err != nil {
		t.Fatal(err)
	}
	store := postgrestest.Connect(t, s.dsn, nil)
	dead, state, err := store.ClaimMail(t.Context(), m.Event, "", mail.StaleClaim)
	if err != nil || state != mail.Claimed {
		t.Fatal(state, err)
	}
	s.handle(body, 0, mail.Retry, "another process")
	s.execute(`UPDATE mails_sent SET claimed_at = claimed_at - interval '40 seconds'`)
	s.handle(body, 0, mail.Retry, "another process")
	s.execute(`UPDATE mails_sent SET claimed_at = claimed_at - interval '20 seconds'`)
	s.handle(body, 0, mail.Done, "")
	if err := store.ReleaseMail(t.Context(), dead); err != nil { // the first process was not dead but slow
		t.Fatal(err)
	}
	s.handle(body, 0, mail.Done, "")
	s.wantsOne("password_reset retried", "password_reset retried", "password_reset sent", "password_reset duplicate")
}

func TestMailsThatAreNotNeededAnymoreAreDropped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.account("ada@example.com", "")
	expired := strings.Replace(tokenData, "SOON", time.Now().Add(-time.Second).UTC().Format(time.RFC3339), 1)
	s.handle(s.message("user.invitation_requested", id, "ada@example.com", expired), 0, mail.Done, "")
	s.handle(s.message("user.email_verification_requested", id, "earlier@example.com", tokenData), 0, mail.Done, "")
	s.handle(s.message("user.password_changed", uuid.New(), "", `{}`), 0, mail.Done, "")
	s.handle(s.message("user.created", id, "", `{}`), 0, mail.Done, "")
	s.handle(s.message("user.email_verification_requested", id, "Ada@Example.com", tokenData), 0, mail.Done, "")
	s.verify(id)
	s.handle(s.message("user.email_verification_requested", id, "ada@example.com", tokenData), 0, mail.Done, "")
	s.execute(`UPDATE users SET status = 'disabled'`) // the token is not valid
	s.handle(s.message("user.password_reset_requested", id, "ada@example.com", tokenData), 0, mail.Done, "")
	s.wantsOne("invitation expired", "email_verification outdated", "password_changed outdated", "unneeded", "email_verification sent",
		"email_verification outdated", "password_reset outdated")
	if rows := s.execute(`DELETE FROM mails_sent`); rows != 1 {
		t.Errorf("%d mails are stored, want 1", rows)
	}
}

// TestGreylisting uses a server that refuses the first attempt and accepts the second one.
func TestGreylisting(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	attempts := 0
	s.server.Answer(func(command string) error {
		if command != "RCPT" {
			return nil
		}
		if attempts++; attempts == 1 {
			return mailtest.Refuse(451, 4)
		}
		return nil
	})
	body := s.reset()
	s.handle(body, 0, mail.Defer, "451")
	s.handle(body, 10*time.Second, mail.Done, "")
	s.wantsOne("password_reset retried", "password_reset sent")
}

func TestARefusedMailIsParked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.server.Answer(func(string) error { return mailtest.Refuse(550, 5) })
	body := s.reset()
	s.handle(body, 0, mail.Retry, "MAIL FROM command: 550") // the server refuses the sender, and so all mails
	s.server.Answer(func(command string) error {
		if command == "RCPT" {
			return mailtest.Refuse(550, 5)
		}
		return nil
	})
	s.handle(body, 0, mail.Park, "the mail server refuses the mail: RCPT TO command: 550 5.1.1")
	s.server.Answer(nil)
	s.handle(body, 0, mail.Done, "") // an operator has requeued it
	s.handle([]byte("planted-token"), 0, mail.Park, "can be read")
	s.wantsOne("password_reset retried", "password_reset parked", "password_reset sent", "parked")
}

// TestNoticesOfAnUnverifiedAddress checks that no notice is sent to an address that was never verified, because it may belong to somebody
// else.
func TestNoticesOfAnUnverifiedAddress(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.account("ada@example.com", "")
	s.handle(s.message("user.password_changed", id, "", `{}`), 0, mail.Done, "")
	s.handle(s.message("user.factor_added", id, "", `{"factor":{"type":"totp"}}`), 0, mail.Done, "")
	change := `{"user":{"email":"ada@example.com"},"changed":["email"],"previous":{"email":"victim@example.com"}}`
	s.handle(s.message("user.updated", id, "", change), 0, mail.Done, "")
	s.verify(id)
	s.handle(s.message("user.updated", id, "", change), 0, mail.Done, "") // the new address is verified, but the previous one was not
	s.handle(s.message("user.password_changed", id, "", `{}`), 0, mail.Done, "")
	s.wantsOne("password_changed unverified", "factor_added unverified", "email_changed unverified", "email_changed unverified",
		"password_changed sent")
}

// TestNoticesToAMailboxAreLimited checks that two mailers together send at most MaxNotices notices to a mailbox, of all kinds and accounts.
func TestNoticesToAMailboxAreLimited(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	mailers := []*mail.Mailer{s.mailer, s.another(postgrestest.Connect(t, s.dsn, nil))}
	id, other := s.account("ada@example.com", ""), s.account("eve@example.com", "")
	s.verify(id)
	change := `{"user":{"email":"eve@example.com"},"changed":["email"],"previous":{"email":"ADA@example.com","email_verified":true}}`
	var all sync.WaitGroup
	for n := range 20 {
		body := s.message("user.password_changed", id, "", `{}`)
		if n%2 == 0 {
			body = s.message("user.updated", other, "", change)
		}
		all.Go(func() {
			for disposition := mail.Retry; disposition == mail.Retry; { // because the database may be slow
				disposition, _ = mailers[n/2%2].Handle(t.Context(), body, 0)
			}
		})
	}
	all.Wait()
	if n := len(s.server.Mails()); n != mail.MaxNotices {
		t.Errorf("%d notices were sent, want %d", n, mail.MaxNotices)
	}
	s.handle(s.message("user.password_reset_requested", id, "ada@example.com", tokenData), 0, mail.Done, "")
	if n := len(s.server.Mails()); n != mail.MaxNotices+1 {
		t.Error("a link is not sent after many notices")
	}
	s.execute(`UPDATE token_mailboxes SET sent_at = sent_at - $1::interval`, mail.NoticeWindow)
	s.handle(s.message("user.password_changed", id, "", `{}`), 0, mail.Done, "")
	if n := len(s.server.Mails()); n != mail.MaxNotices+2 {
		t.Error("a notice is not sent after the window")
	}
}

// TestANoticeThatWasNotSentDoesNotCount checks that failed attempts do not count towards MaxNotices. Otherwise the retries of one notice
// would use up the limit.
func TestANoticeThatWasNotSentDoesNotCount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.account("ada@example.com", "")
	s.verify(id)
	s.server.AnswerTo(func(string) error { return mailtest.Refuse(451, 4) })
	body := s.message("user.password_changed", id, "", `{}`)
	for range 2 * mail.MaxNotices {
		s.handle(body, 0, mail.Defer, "451")
	}
	s.server.AnswerTo(nil)
	s.handle(body, 0, mail.Done, "")
	if n := len(s.server.Mails()); n != 1 {
		t.Errorf("%d notices were sent, want 1", n)
	}
}

func TestTheEventsOfAnErasedUserAreObsolete(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := mail.Reduce(s.reset())
	for want, change := range []string{`SELECT 1`, `DELETE FROM users`} {
		s.execute(change)
		if got, err := s.mailer.Obsolete(t.Context(), body); err != nil || got != (want == 1) {
			t.Errorf("after %s, the event is obsolete: %t, %v", change, got, err)
		}
	}
	if got, err := s.mailer.Obsolete(t.Context(), []byte("planted-token")); err != nil || got {
		t.Errorf("an unreadable message is obsolete: %t, %v", got, err)
	}
	s.execute(`ALTER TABLE users RENAME TO away`)
	if got, err := s.mailer.Obsolete(t.Context(), body); err == nil || got {
		t.Errorf("without an answer of the database, the event is obsolete: %t, %v", got, err)
	}
}

func TestAMailIsParkedAfterADay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.server.Stop()
	body := s.reset()
	s.handle(body, 24*time.Hour-time.Second, mail.Retry, "connection refused")
	s.handle(body, 24*time.Hour, mail.Park,
		"not sent within 24h0m0s; last reason: the mail server does not accept the mail: connect: dial: connect: connection refused")
	s.server.Listen()
	s.handle(body, 24*time.Hour, mail.Done, "")
	s.wantsOne("password_reset retried", "password_reset parked", "password_reset sent")
}

func TestAnUnavailableDatabase(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://a:b@" + testkit.FreeAddress(t) + "/c", MaxConns: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	working := s.mailer
	s.mailer = s.another(db)
	body := s.reset()
	s.handle(body, 0, mail.Retry, "the database does not answer")
	s.mailer = working
	s.execute(`ALTER TABLE mails_sent RENAME TO away`) // the schema of an earlier version
	s.handle(body, 0, mail.Retry, "the database does not answer")
	s.execute(`ALTER TABLE away RENAME TO mails_sent`)
	s.handle(body, 0, mail.Done, "")
	s.wantsOne("password_reset retried", "password_reset retried", "password_reset sent")
}

// TestADatabaseThatFailsAfterTheMail makes the database fail after a mail was sent. The mailer then retries to store that fact until it
// succeeds.
func TestADatabaseThatFailsAfterTheMail(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.server.Answer(func(command string) error {
		if command == "DATA" {
			s.execute(`ALTER TABLE mails_sent RENAME TO away`)
		}
		return nil
	})
	body := s.reset()
	done := make(chan struct{})
	go func() { defer close(done); s.handle(body, 0, mail.Done, "") }()
	testkit.WaitFor(t, "a failed mark", func() bool { return strings.Contains(s.log.String(), "can't store that a mail was sent") })
	s.execute(`ALTER TABLE away RENAME TO mails_sent`)
	testkit.Receive(t, "the end", done)
	s.handle(body, 0, mail.Done, "")
	s.wantsOne("password_reset sent", "password_reset duplicate")
}

func TestResultsAndKindsAreKnown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.handle(s.reset(), 0, mail.Done, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, result, _ := strings.Cut(s.results[0], " ")
	if !slices.Contains(mail.Kinds(), mail.Kind(kind)) || !slices.Contains(mail.Results(), result) {
		t.Error(s.results)
	}
	if want := fmt.Sprintf(`"kind":%q,"result":%q`, kind, result); !strings.Contains(s.log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, s.log)
	}
}
