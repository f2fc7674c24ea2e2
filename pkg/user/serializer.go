package user

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// maxWaiting is how many requests wait for one key at most.
const maxWaiting = 64

// Serializer lets one request at a time work on a key, such as an account. The others wait
// in the order of their arrival, before they take a connection or a place in the hash queue: one
// account never holds more of them than it has keys, however many requests change it. The zero Serializer is ready to use.
type Serializer[K comparable] struct {
	mu    sync.Mutex
	lines map[K]*line
}

// line is who works on one key, and who waits.
type line struct {
	turn    *semaphore.Weighted
	present int // who works, and who waits
}

// Enter waits for the turn of a key. The caller calls leave when its work is done. Errors:
// TooManyRequests if maxWaiting others wait, Unavailable if the turn does not come in time.
func (s *Serializer[K]) Enter(ctx context.Context, key K) (leave func(), err error) {
	l := s.join(key)
	if l == nil {
		return nil, &Error{
			Code: TooManyRequests, Detail: "Too many requests wait for the same account or session; try again shortly.", RetryAfter: time.Second,
		}
	}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		s.quit(key, l)
		return nil, &Error{
			Code: Unavailable, Detail: "Other requests for the same account or session took too long; try again shortly.", RetryAfter: time.Second, Err: err,
		}
	}
	return func() {
		l.turn.Release(1)
		s.quit(key, l)
	}, nil
}

func (s *Serializer[K]) join(key K) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[key]
	switch {
	case l == nil:
		if s.lines == nil {
			s.lines = make(map[K]*line)
		}
		l = &line{turn: semaphore.NewWeighted(1)}
		s.lines[key] = l
	case l.present > maxWaiting:
		return nil
	}
	l.present++
	return l
}

func (s *Serializer[K]) quit(key K, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.present--; l.present == 0 {
		delete(s.lines, key)
	}
}
