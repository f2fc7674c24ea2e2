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

// countedStore is a Store that implements only HashCosts. It counts the calls, and returns the result of answer.
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

// counting runs KeepCostsCounted and a test in a synctest bubble. Each call of HashCosts calls answer, and returns its error.
func counting(
	t *testing.T, answer func(context.Context) error, test func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer),
) {
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

// passes waits for d, and then until all other goroutines of the bubble are blocked.
func passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestReadinessWaitsOnlyForTheFirstCount(t *testing.T) {
	t.Parallel()
	counting(t, after(5*time.Second), func(t *testing.T, s *Service, store *countedStore, _ *bytes.Buffer) {
		passes(4 * time.Second)
		if err := s.CheckCosts(t.Context()); !errors.Is(err, errNotCounted) {
			t.Errorf("CheckCosts = %v during the first count, want %v", err, errNotCounted)
		}
		passes(time.Second)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 1 {
			t.Errorf("CheckCosts = %v after %d counts, want nil after 1", err, store.made())
		}
		passes(countEvery)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 2 {
			t.Errorf("CheckCosts = %v during count %d, want nil during count 2", err, store.made())
		}
	})
}

// TestASlowCountContinues makes the first count take longer than readiness waits. The count must continue and succeed.
func TestASlowCountContinues(t *testing.T) {
	t.Parallel()
	counting(t, after(10*time.Minute), func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer) {
		passes(firstCountWait)
		if err := s.CheckCosts(t.Context()); err != nil {
			t.Errorf("CheckCosts = %v after %s, want nil", err, firstCountWait)
		}
		passes(10 * time.Minute)
		if store.made() != 1 || logs.Len() != 0 {
			t.Errorf("%d counts were made and %q was logged, want 1 and nothing", store.made(), logs)
		}
	})
}

func TestAFailedCountIsRetriedSoon(t *testing.T) {
	t.Parallel()
	away := &Error{Code: Unavailable}
	counting(t, fails(away), func(t *testing.T, s *Service, store *countedStore, logs *bytes.Buffer) {
		passes(3 * time.Second)
		if err := s.CheckCosts(t.Context()); !errors.Is(err, errNotCounted) || store.made() != 4 {
			t.Errorf("CheckCosts = %v after %d counts, want %v after 4", err, store.made(), errNotCounted)
		}
		store.then(fails(nil))
		passes(time.Second)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 5 || logs.Len() != 0 {
			t.Errorf("CheckCosts = %v after %d counts with the log %q, want nil after 5 with an empty log", err, store.made(), logs)
		}
		store.then(fails(away))
		passes(countEvery)
		passes(2 * countAgain)
		if err := s.CheckCosts(t.Context()); err != nil || store.made() != 8 {
			t.Errorf("CheckCosts = %v after %d counts, want nil after 8", err, store.made())
		}
		if n := strings.Count(logs.String(), "level=WARN"); n != 3 {
			t.Errorf("the log has %d warnings, want 3:\n%s", n, logs)
		}
	})
}

// TestReadinessStopsWaitingForAFailingCount makes each count fail, for example because the database user may not read the table.
// Readiness must not wait for a first count longer than firstCountWait.
func TestReadinessStopsWaitingForAFailingCount(t *testing.T) {
	t.Parallel()
	counting(t, fails(errors.New("denied")), func(t *testing.T, s *Service, _ *countedStore, logs *bytes.Buffer) {
		passes(firstCountWait + countAgainSoon)
		if err := s.CheckCosts(t.Context()); err != nil || !strings.Contains(logs.String(), "denied") {
			t.Errorf("CheckCosts = %v with the log %q, want nil and the error in the log", err, logs)
		}
	})
}

func TestACountEndsWithTheService(t *testing.T) {
	t.Parallel()
	endless := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	counting(t, endless, func(*testing.T, *Service, *countedStore, *bytes.Buffer) { passes(time.Hour) })
}
