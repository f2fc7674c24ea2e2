package postgres_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/mail"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

func TestTheAccountForAMail(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	u := create(t, db, "ada@example.com")
	got, err := db.MailAccount(t.Context(), u.ID)
	if err != nil || got.Email != "ada@example.com" || got.Verified || got.Disabled ||
		got.Locale != u.Locale || !got.Created.Equal(u.CreatedAt) ||
		time.Since(got.Now).Abs() > time.Minute {
		t.Errorf("the account is %+v (%v), want the email, the locale and both times", got, err)
	}
	u.EmailVerified, u.Status = true, user.Disabled
	if _, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{User: &u}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := db.MailAccount(t.Context(), u.ID); err != nil || !got.Verified || !got.Disabled {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{Delete: true}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.MailAccount(t.Context(), u.ID); !errors.Is(err, mail.ErrNoAccount) {
		t.Errorf("the account of an erased user gives %v, want ErrNoAccount", err)
	}
}

// TestAMailIsClaimedOnce claims a mail from many goroutines concurrently. One of them must get the claim. A released mail can be claimed
// again; a sent mail can't.
func TestAMailIsClaimedOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	id := uuid.New()
	var claims atomic.Int32
	var claim mail.Claim
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			got, state, err := db.ClaimMail(t.Context(), id, "", mail.StaleClaim)
			switch {
			case err != nil:
				t.Error(err)
			case state == mail.Claimed:
				claims.Add(1)
				claim = got
			case state != mail.ClaimedElse:
				t.Errorf("the state is %d, want Claimed or ClaimedElse", state)
			}
		})
	}
	all.Wait()
	if claims.Load() != 1 {
		t.Fatalf("%d goroutines have the claim, want 1", claims.Load())
	}
	if err := db.ReleaseMail(t.Context(), mail.Claim{Event: id, At: claim.At.Add(-time.Microsecond)}); err != nil { // an earlier claim
		t.Error(err)
	}
	wantState(t, db, id, mail.ClaimedElse)
	if err := db.ReleaseMail(t.Context(), claim); err != nil {
		t.Error(err)
	}
	wantState(t, db, id, mail.Claimed)
	if err := db.MarkMailSent(t.Context(), claim); err != nil {
		t.Error(err)
	}
	execute(t, dsn, `UPDATE mails_sent SET claimed_at = now() - interval '1 day'`)
	wantState(t, db, id, mail.AlreadySent)
	if err := db.ReleaseMail(t.Context(), claim); err != nil { // a sent mail stays sent
		t.Error(err)
	}
	wantState(t, db, id, mail.AlreadySent)
}

func wantState(t *testing.T, db mail.Store, id uuid.UUID, want mail.ClaimState) {
	t.Helper()
	if _, state, err := db.ClaimMail(t.Context(), id, "", mail.StaleClaim); err != nil || state != want {
		t.Errorf("the state is %d, %v, want %d", state, err, want)
	}
}

// TestNoticesAreLimitedAcrossMailers claims many notices for one mailbox at the same time, and checks that exactly MaxNotices are granted.
func TestNoticesAreLimitedAcrossMailers(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	claims := make(chan mail.Claim, 4*mail.MaxNotices)
	var limited atomic.Int32
	var all sync.WaitGroup
	for range cap(claims) {
		all.Go(func() {
			switch claim, state, err := db.ClaimMail(t.Context(), uuid.New(), "Ada@example.com", mail.StaleClaim); {
			case err != nil:
				t.Error(err)
			case state == mail.Claimed:
				claims <- claim
			case state == mail.Limited:
				limited.Add(1)
			}
		})
	}
	all.Wait()
	if len(claims) != mail.MaxNotices || limited.Load() != 3*mail.MaxNotices {
		t.Fatalf("%d claims were granted and %d limited", len(claims), limited.Load())
	}
	claim := <-claims
	state := func(id uuid.UUID, to string) mail.ClaimState {
		_, got, err := db.ClaimMail(t.Context(), id, to, mail.StaleClaim)
		if err != nil {
			t.Error(err)
		}
		return got
	}
	if err := db.MarkMailSent(t.Context(), claim); err != nil {
		t.Error(err)
	}
	if got := state(claim.Event, "ada@example.com"); got != mail.AlreadySent {
		t.Errorf("the state of a duplicate is %d", got)
	}
	if got := state(uuid.New(), "eve@example.com"); got != mail.Claimed {
		t.Errorf("the state of another mailbox is %d", got)
	}
	if err := db.ReleaseMail(t.Context(), <-claims); err != nil {
		t.Error(err)
	}
	if a, b := state(uuid.New(), "ada@example.com"), state(uuid.New(), "ada@example.com"); a != mail.Claimed || b != mail.Limited {
		t.Errorf("after one was not sent, the states are %d and %d", a, b)
	}
}

// TestTheMailerNeedsFewPrivileges creates a role with the privileges that docs/mail.md grants to the mailer. This role must be able to do
// what the mailer does, but not to read a whole account.
func TestTheMailerNeedsFewPrivileges(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(page), "\n```sql\n")
	commands, _, _ = strings.Cut(commands, "```")
	_, grants, found := strings.Cut(commands, "'change-me';\n")
	if !found {
		t.Fatalf("docs/mail.md has the commands %q", commands)
	}
	role := postgrestest.NewRole(t, "change-me") // dropped after the database
	dsn := postgrestest.URL(t)
	u := create(t, postgrestest.Connect(t, dsn, nil), "ada@example.com")
	execute(t, dsn, strings.ReplaceAll(grants, "users_mailer", role.Name()))
	db := postgrestest.Connect(t, role.URL(dsn, "change-me"), nil)
	if _, err := db.MailAccount(t.Context(), u.ID); err != nil {
		t.Error(err)
	}
	id := uuid.New()
	for range 2 {
		claim, state, err := db.ClaimMail(t.Context(), id, "ada@example.com", mail.StaleClaim)
		if err != nil || state != mail.Claimed {
			t.Errorf("the state is %d (%v), want Claimed", state, err)
		}
		if err := db.ReleaseMail(t.Context(), claim); err != nil {
			t.Error(err)
		}
	}
	if err := db.MarkMailSent(t.Context(), mail.Claim{Event: id}); err != nil {
		t.Error(err)
	}
	if version, err := db.SchemaVersion(t.Context()); err != nil || version == 0 {
		t.Errorf("the schema has version %d (%v), want the current version", version, err)
	}
	if _, err := db.User(t.Context(), u.ID); err == nil {
		t.Error("the mailer can read the whole account, want an error")
	}
}
