package user

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOneAtATimeForEachKey enters concurrently, and looks at who works.
func TestOneAtATimeForEachKey(t *testing.T) {
	t.Parallel()
	var s Serializer[int]
	var working [2]atomic.Int32
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			leave, err := s.Enter(t.Context(), n%2)
			if err != nil {
				t.Error(err)
				return
			}
			defer leave()
			if working[n%2].Add(1) != 1 {
				t.Error("two work on one key")
			}
			working[n%2].Add(-1)
		})
	}
	wg.Wait()
	if len(s.queues) != 0 {
		t.Errorf("%d keys are kept", len(s.queues))
	}
}

// TestSoManyWaitForOneKey fills the places of one key: one more is told to come back, and other keys are free.
func TestSoManyWaitForOneKey(t *testing.T) {
	t.Parallel()
	var s Serializer[string]
	leave, err := s.Enter(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range maxWaiting {
		l := s.join("ada") // has a place
		if l == nil {
			t.Fatal("a place is missing")
		}
		waiting.Go(func() {
			_ = l.running.Acquire(ctx, 1)
			s.quit("ada", l)
		})
	}
	var known *Error
	if _, err := s.Enter(t.Context(), "ada"); !errors.As(err, &known) || known.Code != TooManyRequests || known.RetryAfter == 0 {
		t.Errorf("one too many: %v", err)
	}
	other, err := s.Enter(t.Context(), "grace")
	if err != nil {
		t.Fatal(err)
	}
	other()
	giveUp()
	waiting.Wait()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Enter(ended, "ada"); err == nil {
		t.Error("who gave up has entered")
	}
	leave()
	if len(s.queues) != 0 {
		t.Errorf("%d keys are kept", len(s.queues))
	}
}
