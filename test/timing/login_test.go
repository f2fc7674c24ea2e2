package timing_test

import (
	"context"
	"flag"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/password"
	"user-service/pkg/user"
)

var limit = flag.Duration("limit", time.Minute, "how long a busy machine may take to decide")

func TestTheTimeOfALoginRevealsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureLogins(s, nothing); all.verdict() != "" {
		t.Errorf("the time of a login reveals the account: %s\n%s", all.verdict(), all)
	}
}

func TestTheTimeOfABackoffRevealsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureBackoff(s); all.verdict() != "" {
		t.Errorf("the time of a refused login reveals the account: %s\n%s", all.verdict(), all)
	}
}

// The tests whose names end in IsFound check the other tests of this file: those must fail for a service whose times differ.

func TestALoginWithoutTheDummyHashIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return noDummy{store, cheapHash(t)} })
	if all := measureLogins(s, nothing); all.verdict() == "" {
		t.Errorf("no difference is found in a service that does not hash for unknown emails:\n%s", all)
	}
}

func TestALoginThatTakesALittleLongerIsFound(t *testing.T) {
	slow := &slowForNobody{}
	s := newTarget(t, func(store user.Store) user.Store {
		slow.Store = store
		return slow
	})
	all := measureLogins(s, func(usual time.Duration) { slow.burn = usual * 8 / 100 })
	if all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes 8 %% longer for unknown emails:\n%s", all)
	}
}

func TestABackoffThatTakesLongerIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return slowForAnAccount{store} })
	if all := measureBackoff(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes longer where there is an account:\n%s", all)
	}
}

// slowForAnAccount needs 8 % more than the minimum response time to read the login failures of an account that exists.
type slowForAnAccount struct{ user.Store }

func (s slowForAnAccount) LoginFailures(ctx context.Context, a user.Attempt) (user.LoginFailures, error) {
	g, err := s.Store.LoginFailures(ctx, a)
	if g.UserID != uuid.Nil {
		testkit.Pause(ctx, 21600*time.Microsecond)
	}
	return g, err
}

func nothing(time.Duration) {}

// slowForNobody adds time for emails without an account.
type slowForNobody struct {
	user.Store

	burn time.Duration
}

func (s *slowForNobody) Credential(ctx context.Context, email string) (user.Credential, error) {
	cred, err := s.Store.Credential(ctx, email)
	for began := time.Now(); cred.PasswordHash == "" && time.Since(began) < s.burn; {
		continue
	}
	return cred, err
}

// noDummy removes the hashing from logins with an unknown email: their dummy hash costs almost nothing. It changes nothing else.
type noDummy struct {
	user.Store

	hash string
}

func (s noDummy) Credential(ctx context.Context, email string) (user.Credential, error) {
	cred, err := s.Store.Credential(ctx, email)
	if cred.PasswordHash == "" {
		cred.PasswordHash = s.hash
	}
	return cred, err
}

func cheapHash(t *testing.T) string {
	t.Helper()
	cheap, err := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1},
		Limits: password.Limits{Concurrency: 1, MaxWait: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := cheap.Hash(t.Context(), password.Flow{}, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

const wrongPassword = "seven green kettles sink"

// measureLogins compares the times of all kinds of failing logins. Before that, it calls spoil with the usual time of a login.
func measureLogins(s *target, spoil func(usual time.Duration)) comparison {
	s.t.Helper()
	s.account("known@example.com")
	s.disabled("disabled@example.com")
	s.invited("invited@example.com")
	unknown := probe{"unknown email", "/login", credentials("unknown@example.com", wrongPassword), http.StatusUnauthorized}
	again := func() { // keeps accounts below the backoff
		s.sql(`UPDATE password_failures SET failures = 1`)
		s.sql(`UPDATE login_failures SET failures = 1`)
	}
	var usual []float64
	for range 30 {
		usual = append(usual, s.send(unknown))
		again()
	}
	spoil(time.Duration(slices.Sorted(slices.Values(usual))[len(usual)/2] * float64(time.Second)))
	return s.measure(rounds{least: 20, limit: *limit, tries: 3}, []probe{
		unknown,
		{"wrong password", "/login", credentials("known@example.com", wrongPassword), http.StatusUnauthorized},
		{"disabled account", "/login", credentials("disabled@example.com", goodPassword), http.StatusUnauthorized},
		{"no password", "/login", credentials("invited@example.com", wrongPassword), http.StatusUnauthorized},
	}, again)
}

// measureBackoff compares logins during the backoff. Their response reveals the backoff, but neither whether there is an account
// nor whether the password was correct.
func measureBackoff(s *target) comparison {
	s.t.Helper()
	s.account("locked@example.com")
	s.disabled("disabled@example.com")
	s.invited("invited@example.com")
	for range 5 {
		for _, email := range []string{"locked@example.com", "disabled@example.com", "invited@example.com", "nobody@example.com"} {
			s.send(probe{"a failure", "/login", credentials(email, wrongPassword), http.StatusUnauthorized})
		}
	}
	s.sql(`UPDATE password_failures SET blocked_until = now() + interval '14 minutes'`)
	return s.measure(rounds{least: 20, limit: *limit, tries: 5}, []probe{
		{"wrong password", "/login", credentials("locked@example.com", wrongPassword), http.StatusTooManyRequests},
		{"right password", "/login", credentials("locked@example.com", goodPassword), http.StatusTooManyRequests},
		{"disabled account", "/login", credentials("disabled@example.com", goodPassword), http.StatusTooManyRequests},
		{"no password", "/login", credentials("invited@example.com", goodPassword), http.StatusTooManyRequests},
		{"unknown email", "/login", credentials("nobody@example.com", wrongPassword), http.StatusTooManyRequests},
	}, func() {})
}
