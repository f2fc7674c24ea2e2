package user

import (
	"context"
	"errors"
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

func fails(err error) func(context.Context) error { return func(context.Context) error { return err } }

func afterASecond(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counted runs a test of a service whose store begins with this answer, in a bubble.
func counted(t *testing.T, answer func(context.Context) error, test func(*testing.T, *Service, *countedStore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hasher, err := password.NewHasher(password.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1}, password.Limits{Concurrency: 1, MaxWait: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &countedStore{answer: answer}
		s := New(Config{}, store, hasher, nil)
		defer s.costs.stop()
		test(t, s, store)
	})
}

// TestTheFirstLoginsWaitForACount and no others: those of the next hours count beside themselves.
func TestTheFirstLoginsWaitForACount(t *testing.T) {
	t.Parallel()
	counted(t, afterASecond, func(t *testing.T, s *Service, store *countedStore) {
		took := func() time.Duration {
			began := time.Now()
			if err := s.countCosts(t.Context()); err != nil {
				t.Errorf("countCosts = %v", err)
			}
			return time.Since(began)
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if d := took(); d != time.Second {
					t.Errorf("a first login waits for %s", d)
				}
			})
		}
		both.Wait()
		if d := took(); d != 0 || store.counts != 1 {
			t.Errorf("the next one waits for %s, and there are %d counts", d, store.counts)
		}
		<-time.After(countEvery)
		if d := took(); d != 0 {
			t.Errorf("an hour later one waits for %s", d)
		}
		<-time.After(2 * time.Second)
		if took(); store.counts != 2 {
			t.Errorf("%d counts in an hour, want a second one", store.counts)
		}
	})
}

func TestNobodyLogsInBeforeTheFirstCountOfADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	away := &Error{Code: Unavailable}
	counted(t, fails(away), func(t *testing.T, s *Service, store *countedStore) {
		for range 3 {
			if err := s.countCosts(t.Context()); !errors.Is(err, away) {
				t.Errorf("countCosts = %v, want that of the database", err)
			}
		}
		store.then(fails(nil))
		if err := s.countCosts(t.Context()); err != nil || store.counts != 4 {
			t.Errorf("countCosts = %v after %d counts", err, store.counts)
		}
		store.then(fails(away)) // the last count stays in force
		<-time.After(countEvery)
		for range 3 {
			if err := s.countCosts(t.Context()); err != nil {
				t.Errorf("countCosts = %v after the first count", err)
			}
			synctest.Wait()
		}
		if store.counts != 5 {
			t.Errorf("%d counts, want one more at first", store.counts)
		}
		<-time.After(countAgain)
		_ = s.countCosts(t.Context())
		synctest.Wait()
		if store.counts != 6 {
			t.Errorf("%d counts, want one more after a minute", store.counts)
		}
	})
}

// TestACountThatCanNotBeMadeKeepsNobodyOut, such as one of more accounts than a statement has time for.
func TestACountThatCanNotBeMadeKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	counted(t, fails(errors.New("canceled")), func(t *testing.T, s *Service, store *countedStore) {
		for range 3 {
			if err := s.countCosts(t.Context()); err != nil {
				t.Errorf("countCosts = %v", err)
			}
		}
		if store.counts != 1 {
			t.Errorf("%d counts, want 1", store.counts)
		}
	})
}

func TestWhoWaitsForACountGivesUp(t *testing.T) {
	t.Parallel()
	counted(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(t *testing.T, s *Service, _ *countedStore) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.countCosts(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("countCosts = %v", err)
		}
		if err := s.Finish(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.costs.mu.Lock()
		defer s.costs.mu.Unlock()
		if s.costs.running != nil {
			t.Error("the count goes on after the end of the service")
		}
	})
}
