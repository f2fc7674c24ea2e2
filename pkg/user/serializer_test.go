package user

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOneAtATimeForEachKey runs concurrent requests with two keys. For each key, at most one request may run at a time.
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
				t.Error("two requests run concurrently for one key")
			}
			working[n%2].Add(-1)
		})
	}
	wg.Wait()
	if len(s.queues) != 0 {
		t.Errorf("%d queues are left, want none", len(s.queues))
	}
}

// TestTheQueueOfAKeyIsBounded fills the queue of one key. A further request for this key must be refused with a time for a retry. A
// request for another key must not be refused.
func TestTheQueueOfAKeyIsBounded(t *testing.T) {
	t.Parallel()
	var s Serializer[string]
	leave, err := s.Enter(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range maxWaiting {
		l := s.join("ada")
		if l == nil {
			t.Fatalf("the queue is full, want room for %d requests", maxWaiting)
		}
		waiting.Go(func() {
			_ = l.running.Acquire(ctx, 1)
			s.quit("ada", l)
		})
	}
	var known *Error
	if _, err := s.Enter(t.Context(), "ada"); !errors.As(err, &known) || known.Code != TooManyRequests || known.RetryAfter == 0 {
		t.Errorf("a request with a full queue: %v, want %s with a time for a retry", err, TooManyRequests)
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
		t.Error("Enter succeeds with an ended context, want an error")
	}
	leave()
	if len(s.queues) != 0 {
		t.Errorf("%d queues are left, want none", len(s.queues))
	}
}
