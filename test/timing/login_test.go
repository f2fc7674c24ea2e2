package timing_test

import (
	"context"
	"flag"
	"net/http"
	"slices"
	"testing"
	"time"

	"user-service/pkg/password"
	"user-service/pkg/user"
)

var limit = flag.Duration("limit", time.Minute, "how long a busy machine may take to decide")

func TestTheTimeOfALoginTellsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureLogins(s, nothing); all.verdict() != "" {
		t.Errorf("the time of a login tells of the account: %s\n%s", all.verdict(), all)
	}
}

// TestALoginWithoutTheDummyHashIsFound and TestALoginThatTakesALittleLongerIsFound hold the test above to what it is for.
func TestALoginWithoutTheDummyHashIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return noDummy{store, cheapHash(t)} })
	if all := measureLogins(s, nothing); all.verdict() == "" {
		t.Errorf("nothing is found in a service that does not hash for unknown emails:\n%s", all)
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
		t.Errorf("nothing is found in a service that takes 8 %% longer for unknown emails:\n%s", all)
	}
}

func nothing(time.Duration) {}

// slowForNobody takes some time for emails without an account.
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

// noDummy takes the work out of the login of an unknown email, and leaves all else: it is
// checked against a hash that costs next to nothing.
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
	cheap, err := password.NewHasher(password.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1},
		password.Limits{Concurrency: 1, MaxWait: time.Minute}, nil)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := cheap.Hash(t.Context(), password.Login, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// measureLogins compares all logins that fail. One that is locked out says so, whoever it is, but not whether
// there is an account or whether the password was the right one. Before, spoil is told what a login takes.
func measureLogins(s *target, spoil func(usual time.Duration)) comparison {
	s.t.Helper()
	const wrong = "seven green kettles sink"
	s.account("known@example.com")
	s.disabled("disabled@example.com")
	s.account("locked@example.com")
	for range 5 {
		for _, email := range []string{"locked@example.com", "lockedout@example.com"} {
			s.send(probe{"a failure", "/login", credentials(email, wrong), http.StatusUnauthorized})
		}
	}
	locked := probe{"locked out, wrong password", "/login", credentials("locked@example.com", wrong), http.StatusTooManyRequests}
	var usual []float64
	for range 30 {
		usual = append(usual, s.send(locked))
	}
	spoil(time.Duration(slices.Sorted(slices.Values(usual))[len(usual)/2] * float64(time.Second)))
	return s.measure(rounds{least: 20, limit: *limit, tries: 3}, []probe{
		{"unknown email", "/login", credentials("unknown@example.com", wrong), http.StatusUnauthorized},
		{"wrong password", "/login", credentials("known@example.com", wrong), http.StatusUnauthorized},
		{"disabled account", "/login", credentials("disabled@example.com", goodPassword), http.StatusUnauthorized},
		locked,
		{"locked out, right password", "/login", credentials("locked@example.com", goodPassword), http.StatusTooManyRequests},
		{"locked out, unknown email", "/login", credentials("lockedout@example.com", wrong), http.StatusTooManyRequests},
	}, func() { // who is locked out stays so, and nobody else gets there
		s.sql(`UPDATE login_failures SET failures = 1 WHERE failures < 5`)
		s.sql(`UPDATE login_failures SET blocked_until = now() + interval '1 hour' WHERE failures >= 5`)
	})
}
