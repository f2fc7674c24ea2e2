package user

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"user-service/pkg/password"
)

// countedStore answers HashCosts alone.
type countedStore struct {
	Store

	mu     sync.Mutex
	counts int
	answer func(context.Context) error
}

func (s *countedStore) HashCosts(ctx context.Context) ([]HashCost, error) {
	s.mu.Lock()
	s.counts++
	answer := s.answer
	s.mu.Unlock()
	return nil, answer(ctx)
}

func (s *countedStore) then(answer func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *countedStore) made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

func fails(err error) func(context.Context) error { return func(context.Context) error { return err } }

func after(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// counting runs a test, in a bubble, of a service that counts its store, which begins with this answer. The count ends with the test.
func counting(t *testing.T, answer func(context.Context) error, test func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hasher, err := password.NewHasher(password.Config{
			Params: password.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1}, Limits: password.Limits{Concurrency: 1, MaxWait: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		var logs bytes.Buffer
		store := &countedStore{answer: answer}
		s := New(Config{Log: slog.New(slog.NewTextHandler(&logs, nil))}, store, hasher, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.KeepCostsCounted(ctx) })
		synctest.Wait()
		test(t, s, store, &logs)
		cancel()
		running.Wait()
	})
}

// passes lets time pass, and what is due then happen.
func passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestReadinessWaitsForTheFirstCountAndForNoOther(t *testing.T) {
	t.Parallel()
	counting(t, after(5*time.Second), func(t *testing.T, s *Service, store *countedStore, _ *bytes.Buffer) {
		passes(4 * time.Second)
		if err := s.CheckCosts(t.Context()); !errors.Is(err, errNotCounted) {
			t.Errorf("CheckCosts = %v before the end of the first count", err)
		}
		passes(time.Second)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 1 {
			t.Errorf("CheckCosts = %v after %d counts, want one", err, store.made())
		}
		passes(countEvery)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 2 {
			t.Errorf("CheckCosts = %v during %d counts, want the second one to be made", err, store.made())
		}
	})
}

// TestACountThatTakesLongIsNotGivenUp: readiness waits for some of it, and the costs are there at its end.
func TestACountThatTakesLongIsNotGivenUp(t *testing.T) {
	t.Parallel()
	counting(t, after(10*time.Minute), func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer) {
		passes(firstCountWait)
		if err := s.CheckCosts(t.Context()); err != nil {
			t.Errorf("CheckCosts = %v after %s", err, firstCountWait)
		}
		passes(10 * time.Minute)
		if store.made() != 1 || logs.Len() != 0 {
			t.Errorf("%d counts, and %q is logged; want one that ended well", store.made(), logs)
		}
	})
}

func TestAFailedCountIsRepeatedSoon(t *testing.T) {
	t.Parallel()
	away := &Error{Code: Unavailable}
	counting(t, fails(away), func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer) {
		passes(3 * time.Second)
		if err := s.CheckCosts(t.Context()); !errors.Is(err, errNotCounted) || store.made() != 4 {
			t.Errorf("CheckCosts = %v after %d counts, want one each second", err, store.made())
		}
		store.then(fails(nil))
		passes(time.Second)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 5 || logs.Len() != 0 {
			t.Errorf("CheckCosts = %v after %d counts, with %q in the log", err, store.made(), logs)
		}
		store.then(fails(away))
		passes(countEvery)
		passes(2 * countAgain)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 8 {
			t.Errorf("CheckCosts = %v after %d counts, want 3 more within two minutes", err, store.made())
		}
		if n := strings.Count(logs.String(), "level=WARN"); n != 3 {
			t.Errorf("%d warnings in the log, want 3:\n%s", n, logs)
		}
	})
}

// TestAFirstCountThatFailsKeepsNobodyOutForLong, such as one that may not read the table.
func TestAFirstCountThatFailsKeepsNobodyOutForLong(t *testing.T) {
	t.Parallel()
	counting(t, fails(errors.New("denied")), func(t *testing.T, s *Service, _ *countedStore, logs *bytes.Buffer) {
		passes(firstCountWait + countAgainSoon)
		if err := s.CheckCosts(t.Context()); err != nil || !strings.Contains(logs.String(), "denied") {
			t.Errorf("CheckCosts = %v, with %q in the log", err, logs)
		}
	})
}

func TestACountEndsWithTheService(t *testing.T) {
	t.Parallel()
	counting(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(*testing.T, *Service, *countedStore, *bytes.Buffer) {
		passes(time.Hour)
	})
}
