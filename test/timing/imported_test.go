package timing_test

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"user-service/pkg/user"
)

// imported is the number of imported accounts.
const imported = 60

// importAccounts creates accounts with PBKDF2 hashes of this number of iterations.
func (s *target) importAccounts(iterations int) {
	s.t.Helper()
	const salt = "another service's"
	key, err := pbkdf2.Key(sha256.New, goodPassword, []byte(salt), iterations, sha256.Size)
	if err != nil {
		s.t.Fatal(err)
	}
	hash := fmt.Sprintf("pbkdf2_sha256$%d$%s$%s", iterations, salt, base64.StdEncoding.EncodeToString(key))
	importer, err := s.users.NewImporter(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	batch := make([]user.Import, imported)
	for i := range batch {
		batch[i] = user.Import{Email: fmt.Sprintf("known-%d@example.com", i), PasswordHash: hash}
	}
	if n, _, err := importer.Import(s.t.Context(), batch, false); err != nil || n != imported {
		s.t.Fatalf("%d accounts are imported, %v", n, err)
	}
	s.sql(`UPDATE users SET status = 'disabled' WHERE email = 'known-1@example.com'`)
	if err := s.users.CountCosts(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// iterationsFor returns the number of PBKDF2 iterations with about this duration on this machine.
func iterationsFor(t *testing.T, d time.Duration) int {
	t.Helper()
	const tried = 10_000
	best := time.Hour
	for range 5 {
		began := time.Now()
		if _, err := pbkdf2.Key(sha256.New, goodPassword, []byte("salt"), tried, sha256.Size); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	return max(1, int(tried*d/best))
}

// forget deletes the login failures, so that no account gets a backoff.
func (s *target) forget() {
	s.t.Helper()
	s.sql(`DELETE FROM password_failures`)
	s.sql(`DELETE FROM login_failures`)
}

func measureImported(s *target) comparison {
	s.t.Helper()
	s.importAccounts(iterationsFor(s.t, 2*hashTime))
	return s.measure(rounds{least: 20, limit: *limit, tries: 3}, []probe{
		{"unknown email", "/login", credentials("unknown@example.com", wrongPassword), http.StatusUnauthorized},
		{"wrong password", "/login", credentials("known-0@example.com", wrongPassword), http.StatusUnauthorized},
		{"disabled account", "/login", credentials("known-1@example.com", goodPassword), http.StatusUnauthorized},
	}, s.forget)
}

func TestTheTimeOfALoginRevealsNothingAboutImportedAccounts(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureImported(s); all.verdict() != "" {
		t.Errorf("the time of a login reveals the account: %s\n%s", all.verdict(), all)
	}
}

// TestAnUncountedImportIsFound checks TestTheTimeOfALoginRevealsNothingAboutImportedAccounts. That test must fail for a service that does
// not know the costs of imported hashes.
func TestAnUncountedImportIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return uncounted{store} })
	if all := measureImported(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that does not know what imported hashes cost:\n%s", all)
	}
}

// uncounted reports no imported hashes.
type uncounted struct{ user.Store }

func (uncounted) HashCosts(context.Context) ([]user.HashCost, error) { return nil, nil }

// burstHash is the duration of a hash in a burst. The whole burst then ends before the deadline of requests, even on a busy
// machine.
const burstHash = hashTime / 4

// compareBursts compares the 90th percentiles of bursts of two kinds, in pairs. It stops when the result is decided or at the
// highest number of pairs.
func (s *target) compareBursts(kinds [2]string, most int, request func(kind string, burst, i int) probe) comparison {
	s.t.Helper()
	const least = 12
	samples := make(map[string][]float64)
	var all comparison
	began := time.Now()
	for n := 1; n <= least || !all.decided() && n <= most && time.Since(began) < *limit; n++ {
		for _, i := range rand.Perm(len(kinds)) {
			s.forget()
			took := s.burst(imported, func(r int) probe { return request(kinds[i], n, r) })
			samples[kinds[i]] = append(samples[kinds[i]], took[len(took)*9/10])
		}
		if n >= least {
			all = compareAll(kinds[:], samples)
		}
	}
	s.t.Logf("%d bursts in %.1f s, decided: %t\n%s", len(samples[kinds[0]]), time.Since(began).Seconds(), all.decided(), all)
	return all
}

func measureLoginBursts(s *target) comparison {
	s.t.Helper()
	s.importAccounts(iterationsFor(s.t, 2*burstHash))
	s.sql(`UPDATE users SET status = 'active'`)
	return s.compareBursts([2]string{"known", "unknown"}, 30, func(kind string, _, i int) probe {
		return probe{kind, "/login", credentials(many(kind, i), wrongPassword), http.StatusUnauthorized}
	})
}

func TestTheTimeOfABurstOfLoginsRevealsNothing(t *testing.T) {
	s := newTargetOf(t, burstHash, plain)
	if all := measureLoginBursts(s); all.verdict() != "" {
		t.Errorf("the time of a burst of logins reveals the accounts: %s\n%s", all.verdict(), all)
	}
}

func TestABurstThatTakesLongerIsFound(t *testing.T) {
	s := newTargetOf(t, burstHash, func(store user.Store) user.Store { return uncounted{store} })
	if all := measureLoginBursts(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that does not know what imported hashes cost:\n%s", all)
	}
}

// TestABurstOfRegistrationsOfTakenEmailsIsNotCheap checks the same as TestARegistrationOfATakenEmailIsNotCheap, with many concurrent
// requests.
func TestABurstOfRegistrationsOfTakenEmailsIsNotCheap(t *testing.T) {
	s := newTargetOf(t, burstHash, plain)
	s.importAccounts(1)
	all := s.compareBursts([2]string{"known", "free"}, 12, func(kind string, burst, i int) probe {
		if kind == "known" {
			return probe{kind, "/register", credentials(many(kind, i), goodPassword), http.StatusConflict}
		}
		return probe{kind, "/register", credentials(many(fmt.Sprint(kind, "-", burst), i), goodPassword), http.StatusCreated}
	})
	if r := all.ratios[0].estimate; r > 2 { // the time for a free email is more than twice the time for a taken one
		t.Errorf("searching for taken emails is cheap: %s", all)
	}
}
