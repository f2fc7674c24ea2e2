package httpapi_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

// askForResets requests a reset for an account and for an unknown email, and checks that both responses are equal and fast.
func (s *server) askForResets(known string) {
	s.t.Helper()
	var answers []string
	for _, email := range []string{known, "nobody@example.com"} {
		began := time.Now()
		got := s.call("POST", "/password-reset", map[string]any{"email": email}).want(s.t, 202)
		answers = append(answers, string(got.body))
		if took := time.Since(began); took > time.Second {
			s.t.Errorf("the response for %s needs %s, want at most 1 s", email, took)
		}
	}
	if answers[0] != answers[1] {
		s.t.Errorf("responses are %q, want the same one twice", answers)
	}
}

// drops counts the dropped resets.
type drops struct{ resets atomic.Int32 }

func (d *drops) LockedOut() {}

func (d *drops) LoggedIn([]string)    {}
func (d *drops) FactorAdded(string)   {}
func (d *drops) FactorRemoved(string) {}
func (d *drops) TokenReused()         {}
func (d *drops) ResetDropped()        { d.resets.Add(1) }

// TestAFailedResetDoesNotRevealTheAccount makes the database read-only. Only a reset for an existing account writes, so the response must
// not show that the write has failed.
func TestAFailedResetDoesNotRevealTheAccount(t *testing.T) {
	t.Parallel()
	before := start(t)
	a, admin := before.register(), before.admin()
	before.execute(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	drops := &drops{}
	s := start(t, func(set *settings) { set.database, set.cfg.Observer = before.dsn, drops }) // with new, read-only connections
	s.askForResets(a.Email)
	if n := len(s.events(event.PasswordResetRequested)); n != 0 {
		t.Errorf("%d events in a read-only database, want none", n)
	}
	if n := drops.resets.Load(); n != 1 {
		t.Errorf("%d dropped resets are counted, want 1", n)
	}
	if logs := s.logs.String(); !strings.Contains(logs, "was not sent") || strings.Contains(logs, a.Email) {
		t.Errorf("the log is %s, want the failure without the email", logs)
	}
	if got := s.call("POST", a.path()+"/password-reset", nil, as(admin.token)); got.status < 500 {
		t.Errorf("an admin gets %d, want a 5xx", got.status)
	}
}

// TestALockedRowDoesNotRevealTheAccount requests a reset while another transaction holds a lock on the user's row. The response must not
// wait for the lock.
func TestALockedRowDoesNotRevealTheAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	conn := s.connect()
	defer func() { _ = conn.Close(t.Context()) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, a.ID); err != nil {
		t.Fatal(err)
	}
	s.askForResets(a.Email)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.events(event.PasswordResetRequested)); n != 1 {
		t.Errorf("%d events, want one for the delayed request", n)
	}
}

// TestBackgroundWorkDoesNotDelayResponses requests five resets for each of six accounts, while the work after the responses is blocked.
// Further requests must get their responses, and each account must get exactly one reset.
func TestBackgroundWorkDoesNotDelayResponses(t *testing.T) {
	t.Parallel()
	s := start(t)
	var emails []string
	for range 6 {
		emails = append(emails, s.register().Email)
	}
	conn := s.connect()
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE one_time_tokens IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, email := range slices.Repeat(emails, 5) {
		wg.Go(func() { s.call("POST", "/password-reset", map[string]any{"email": email}).want(t, 202) })
	}
	wg.Wait()
	s.askForResets(emails[0])
	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	perUser := map[uuid.UUID]int{}
	for _, e := range s.events(event.PasswordResetRequested) {
		perUser[e.Subject]++
	}
	for id, n := range perUser {
		if n != 1 || len(perUser) != len(emails) {
			t.Errorf("%d resets for %s and %d accounts with resets, want 1 and %d", n, id, len(perUser), len(emails))
		}
	}
}
