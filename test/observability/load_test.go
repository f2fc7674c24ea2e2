package observability_test

import (
	"context"
	"sync"
	"time"

	"user-service/internal/testkit"
)

// keep calls do repeatedly and concurrently until stop is called.
func (s *stage) keep(atOnce int, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for testkit.Pause(ctx, 100*time.Millisecond) {
				do()
			}
		})
	}
	return func() { cancel(); all.Wait() }
}
