package timing_test

import (
	"context"
	"flag"
	"net/http"
	"testing"
	"time"

	"user-service/pkg/password"
	"user-service/pkg/user"
)

var limit = flag.Duration("limit", 8*time.Second, "how long logins are measured at most: longer is more exact")

func TestTheTimeOfALoginTellsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureLogins(s, rounds{least: 20, limit: *limit, tries: 3}); all.apart {
		t.Errorf("the time of a login tells of the account:\n%s", all)
	}
}

// TestALoginWithoutTheDummyHashIsFound holds the test above to what it is for.
func TestALoginWithoutTheDummyHashIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return noDummy{store, cheapHash(t)} })
	if all := measureLogins(s, rounds{least: 20, tries: 1}); !all.apart {
		t.Errorf("nothing is found in a service that does not hash for unknown emails:\n%s", all)
	}
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
	hash, err := cheap.Hash(t.Context(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// measureLogins compares all logins that fail. One that is locked out says so, whoever it is,
// but not whether the password was the right one.
func measureLogins(s *target, r rounds) comparison {
	s.t.Helper()
	const wrong = "seven green kettles sink"
	s.account("known@example.com")
	s.disabled("disabled@example.com")
	s.account("locked@example.com")
	for range 5 {
		s.send(probe{"a failure", "/login", credentials("locked@example.com", wrong), http.StatusUnauthorized})
	}
	return s.measure(r, []probe{
		{"unknown email", "/login", credentials("unknown@example.com", wrong), http.StatusUnauthorized},
		{"wrong password", "/login", credentials("known@example.com", wrong), http.StatusUnauthorized},
		{"disabled account", "/login", credentials("disabled@example.com", goodPassword), http.StatusUnauthorized},
		{"locked out, wrong password", "/login", credentials("locked@example.com", wrong), http.StatusTooManyRequests},
		{"locked out, right password", "/login", credentials("locked@example.com", goodPassword), http.StatusTooManyRequests},
	}, func() { // who is locked out stays so, and nobody else gets there
		s.sql(`UPDATE login_failures SET failures = 1 WHERE failures < 5`)
		s.sql(`UPDATE login_failures SET blocked_until = now() + interval '1 hour' WHERE failures >= 5`)
	})
}
