package postgres

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"user-service/pkg/user"
)

// maxWaiting is how many requests wait for one key at most.
const maxWaiting = 64

// serializer lets one request at a time work on a key, such as an account. The others wait
// in the order of their arrival, before they take a connection from the pool: one account
// never holds more connections than it has keys, however many requests change it.
type serializer[K comparable] struct {
	mu    sync.Mutex
	lines map[K]*line
}

// line is who works on one key, and who waits.
type line struct {
	turn    *semaphore.Weighted
	present int // who works, and who waits
}

// enter waits for the turn of a key. The caller calls leave when its work is done. Errors:
// TooManyRequests if maxWaiting others wait, Unavailable if the turn does not come in time.
func (s *serializer[K]) enter(ctx context.Context, key K) (leave func(), err error) {
	l := s.join(key)
	if l == nil {
		return nil, &user.Error{
			Code: user.TooManyRequests, Detail: "Too many requests wait for the same account or session; try again shortly.", RetryAfter: time.Second,
		}
	}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		s.quit(key, l)
		return nil, failed("wait for other requests of the same account or session", err)
	}
	return func() {
		l.turn.Release(1)
		s.quit(key, l)
	}, nil
}

func (s *serializer[K]) join(key K) *line {
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

func (s *serializer[K]) quit(key K, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.present--; l.present == 0 {
		delete(s.lines, key)
	}
}
