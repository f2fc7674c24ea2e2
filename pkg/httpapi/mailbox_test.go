package httpapi_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/postgres"
)

type unobservedCleanup struct{}

func (unobservedCleanup) CleanupRows(string, int64) {}
func (unobservedCleanup) CleanupDone(error)         {}

// TestTheMailLimitSurvivesChanges checks that invalidated tokens still count toward the limit of mails per mailbox. Otherwise a user could
// send unlimited mail by changing the email or the password. A run of the cleaner does not reset the count either.
func TestTheMailLimitSurvivesChanges(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	cleaner := postgres.Cleaner{DB: s.db, AuditRetention: time.Hour, Observer: unobservedCleanup{}, Log: slog.New(slog.DiscardHandler)}
	for round := range 3 {
		email := fmt.Sprintf("victim%d@example.com", round)
		s.call("PATCH", "/users/me", map[string]any{"email": email, "current_password": a.password}, as(a.token)).want(t, 200)
		for range 4 {
			s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
			s.call("POST", "/password-reset", map[string]any{"email": email}).want(t, 202)
		}
		next := fmt.Sprint(newPassword, round)
		a = s.changePassword(a, next)
		s.call("POST", "/password-reset", map[string]any{"email": email}).want(t, 202)
		if err := cleaner.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, typ := range []event.Type{event.PasswordResetRequested, event.EmailVerificationRequested} {
		if n := len(s.events(typ)); n != 5 {
			t.Errorf("%d events %s, want 5", n, typ)
		}
	}
	s.execute(`UPDATE one_time_tokens SET created_at = created_at - interval '10 minutes'`)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.execute(`DELETE FROM one_time_tokens WHERE expires_at < now()`); n != 0 {
		t.Errorf("%d invalidated tokens are left after they no longer count, want none", n)
	}
}

// TestTheMailLimitCoversAllAccounts gives the same email to several accounts in turn: each account is erased or gets another email before
// the next account takes the email. Spellings in another case must count as the same email.
func TestTheMailLimitCoversAllAccounts(t *testing.T) {
	t.Parallel()
	s := start(t)
	sent := map[event.Type]map[uuid.UUID]bool{event.PasswordResetRequested: {}, event.EmailVerificationRequested: {}}
	for round, email := range []string{"victim@example.com", "Victim@Example.com", "VICTIM@EXAMPLE.COM", "victim@example.com"} {
		a := s.register()
		s.moveTo(a, email)
		for range 4 {
			s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
		}
		for range 2 {
			s.call("POST", "/password-reset", map[string]any{"email": email}).want(t, 202)
			s.events(event.PasswordResetRequested) // waits for the background work; otherwise the requests would be merged
		}
		for typ, ids := range sent { // the erasure below deletes the user's events, so the test counts the events before it
			for _, e := range s.events(typ) {
				if strings.Contains(strings.ToLower(string(e.Data)), "victim@") {
					ids[e.ID] = true
				}
			}
		}
		if round%2 == 0 {
			s.call("DELETE", "/users/me", nil, as(a.token)).want(t, 204)
		} else {
			s.moveTo(a, fmt.Sprintf("elsewhere%d@example.com", round))
		}
	}
	for typ, ids := range sent {
		if len(ids) != 5 {
			t.Errorf("%d events %s, want 5", len(ids), typ)
		}
	}
	if n := s.execute(`DELETE FROM token_mailboxes WHERE strpos(token_mailboxes::text, 'ictim') > 0`); n != 0 {
		t.Errorf("%d rows contain the email, want none", n)
	}
	s.execute(`UPDATE token_mailboxes SET sent_at = sent_at - interval '10 minutes'`)
	a := s.register()
	s.moveTo(a, "victim@example.com")
	before := len(s.events(event.EmailVerificationRequested))
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	if n := len(s.events(event.EmailVerificationRequested)); n != before+1 {
		t.Errorf("%d new verification events after 10 minutes, want 1", n-before)
	}
}

// moveTo changes the email of an account.
func (s *server) moveTo(a account, email string) {
	s.t.Helper()
	s.call("PATCH", "/users/me", map[string]any{"email": email, "current_password": a.password}, as(a.token)).want(s.t, 200)
}
