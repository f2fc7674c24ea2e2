package timing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/user"
)

// burstSize is the number of concurrent requests: as many as the quotas of five addresses allow in a minute.
const burstSize = 300

func TestTheTimesOfABurstOfResetsForOneEmailRevealNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureBursts(s, one); all.verdict() != "" {
		t.Errorf("a burst of requests reveals the account: %s\n%s", all.verdict(), all)
	}
}

func TestTheTimesOfABurstOfResetsForManyEmailsRevealNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureBursts(s, many); all.verdict() != "" {
		t.Errorf("a burst of requests reveals the accounts: %s\n%s", all.verdict(), all)
	}
}

// TestABurstOfResetsThatTakesLongerIsFound checks TestTheTimesOfABurstOfResetsForOneEmailRevealNothing. That test must fail for a service
// that takes longer if there is an account.
func TestABurstOfResetsThatTakesLongerIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return slowForSomebody{store} })
	if all := measureBursts(s, one); all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes longer for an account:\n%s", all)
	}
}

// TestResetsThatWaitForEachOtherAreFound checks TestTheTimesOfABurstOfResetsForManyEmailsRevealNothing. The service delays each request by
// less than the minimum response time, so that only a burst shows the delay.
func TestResetsThatWaitForEachOtherAreFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return &oneAtATime{Store: store} })
	if all := measureBursts(s, many); all.verdict() == "" {
		t.Errorf("no difference is found in a service whose requests for accounts wait for each other:\n%s", all)
	}
}

// oneAtATime works for a millisecond on each account, one account after another.
type oneAtATime struct {
	user.Store

	mu sync.Mutex
}

func (s *oneAtATime) ActiveUserID(ctx context.Context, email string) (uuid.UUID, error) {
	id, err := s.Store.ActiveUserID(ctx, email)
	if id != uuid.Nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		testkit.Pause(ctx, time.Millisecond)
	}
	return id, err
}

func one(kind string, _ int) string  { return kind + "-0@example.com" }
func many(kind string, i int) string { return fmt.Sprintf("%s-%d@example.com", kind, i) }

// measureBursts compares bursts of requests for accounts with bursts for unknown emails. It compares the medians and the 90th
// percentiles of the bursts.
func measureBursts(s *target, email func(kind string, i int) string) comparison {
	s.t.Helper()
	s.accounts("account", burstSize)
	kinds := []string{"account", "unknown"}
	medians, tails := map[string][]float64{}, map[string][]float64{}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage is collected between bursts
	var all comparison
	began := time.Now()
	for n := 0; n <= 12 || !all.decided() && time.Since(began) < *limit; n++ {
		s.sql(`TRUNCATE one_time_tokens, token_mailboxes`) // otherwise the mail limit would soon drop resets
		for _, k := range rand.Perm(len(kinds)) {
			kind := kinds[k]
			runtime.GC()
			took := s.burst(burstSize, func(i int) probe {
				body := func() string { return fmt.Sprintf(`{"email": %q}`, email(kind, i)) }
				return probe{kind, "/password-reset", body, http.StatusAccepted}
			})
			if err := s.users.Finish(s.t.Context()); err != nil { // the work after the responses
				s.t.Fatal(err)
			}
			if n > 0 { // the first round opens connections
				medians[kind] = append(medians[kind], took[len(took)/2])
				tails[kind] = append(tails[kind], took[len(took)*9/10])
			}
		}
		if n > 0 {
			all = compareAll(kinds, medians).and(compareAll(kinds, tails))
		}
	}
	s.t.Logf("%d bursts of each kind in %.1f s, decided: %t\n%s", len(medians[kinds[0]]), time.Since(began).Seconds(), all.decided(), all)
	return all
}

// burst sends size requests concurrently, and returns the sorted response times in seconds.
func (s *target) burst(size int, request func(i int) probe) []float64 {
	s.t.Helper()
	took, answers := make([]float64, size), make([]*httptest.ResponseRecorder, size)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range size {
		p := request(i)
		wg.Go(func() {
			<-start
			took[i], answers[i] = s.try(p)
		})
	}
	close(start)
	wg.Wait()
	for i, answer := range answers { // a busy machine may refuse some of both kinds: their times count too
		if answer.Code != request(i).status && answer.Code != http.StatusServiceUnavailable {
			s.t.Fatalf("%d %s", answer.Code, answer.Body)
		}
	}
	slices.Sort(took)
	return took
}

// accounts creates active accounts without a password: account-0@example.com and so on.
func (s *target) accounts(name string, n int) {
	s.t.Helper()
	s.sql(`
		INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), email, email, 'active', 1, now(), now()
		FROM (SELECT format('%s-%s@example.com', $1::text, i) AS email FROM generate_series(0, $2 - 1) AS i) AS emails`, name, n)
}
