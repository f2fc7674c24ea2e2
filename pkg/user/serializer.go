package user

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// maxWaiting is the maximum number of requests that wait for one key.
const maxWaiting = 64

// Serializer runs one request at a time for each key, such as an account. Other requests wait in the order of their arrival, before they
// take a connection or a hash slot. So all concurrent requests for one account hold at most one connection and one slot. The zero
// Serializer is ready to use.
type Serializer[K comparable] struct {
	mu     sync.Mutex
	queues map[K]*keyQueue
}

// keyQueue is the queue of one key.
type keyQueue struct {
	running *semaphore.Weighted
	size    int // the number of requests that run or wait
}

// Enter waits until no other request runs for a key. The caller calls leave after its work. Errors: TooManyRequests (maxWaiting requests
// already wait), Unavailable (ctx ends first).
func (s *Serializer[K]) Enter(ctx context.Context, key K) (leave func(), err error) {
	q := s.join(key)
	if q == nil {
		return nil, &Error{
			Code: TooManyRequests, Detail: "Too many requests wait for the same account or session; try again shortly.",
			RetryAfter: time.Second,
		}
	}
	if err := q.running.Acquire(ctx, 1); err != nil {
		s.quit(key, q)
		return nil, &Error{
			Code: Unavailable, Detail: "Other requests for the same account or session took too long; try again shortly.",
			RetryAfter: time.Second, Err: err,
		}
	}
	return func() {
		q.running.Release(1)
		s.quit(key, q)
	}, nil
}

func (s *Serializer[K]) join(key K) *keyQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[key]
	switch {
	case q == nil:
		if s.queues == nil {
			s.queues = make(map[K]*keyQueue)
		}
		q = &keyQueue{running: semaphore.NewWeighted(1)}
		s.queues[key] = q
	case q.size > maxWaiting:
		return nil
	}
	q.size++
	return q
}

func (s *Serializer[K]) quit(key K, q *keyQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.size--; q.size == 0 {
		delete(s.queues, key)
	}
}
