package observability_test

import (
	"sync"
	"time"
)

func pause(d time.Duration) { <-time.After(d) }

// keep calls do repeatedly and concurrently until stop is called.
func (s *stage) keep(atOnce int, do func()) (stop func()) {
	over := make(chan struct{})
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
					do()
				}
			}
		})
	}
	return func() { close(over); all.Wait() }
}
