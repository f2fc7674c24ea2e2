//go:build draw

package observability_test

import (
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// TestDrawDashboards is run by make dashboards. It draws the dashboards after some minutes in which the broker was away, logins
// stormed and the database was slow, one after the other.
func TestDrawDashboards(t *testing.T) {
	file, _ := ruleFile(t)
	s := newStage(t, file, "ARGON2_MEMORY_KIB=19456", "ARGON2_ITERATIONS=2", "PASSWORD_HASH_CONCURRENCY=1", "PASSWORD_HASH_QUEUE=8", "DATABASE_MAX_CONNS=6")
	s.await("a ready service", func() bool { status, _ := s.call(http.MethodGet, "/readyz", "", nil); return status == http.StatusOK })
	began := time.Now()
	usual := s.keep(2, s.use)
	pause(time.Minute)

	s.broker.set(true)
	pause(75 * time.Second)
	s.broker.set(false)
	pause(30 * time.Second)

	storm := s.keep(24, func() {
		s.call(http.MethodPost, "/login", "", map[string]any{"email": "a@example.com", "password": password})
	})
	pause(40 * time.Second)
	storm()
	pause(30 * time.Second)

	s.database.slow(400 * time.Millisecond)
	pause(40 * time.Second)
	s.database.slow(0)
	pause(30 * time.Second)

	args := []string{
		"run", "./tools/dashboardview", "-prometheus", s.prometheus, "-last", time.Since(began).Round(time.Second).String(), "-out", "docs/images",
		"-var", "namespace=" + namespace, "-var", "job=" + release,
	}
	for _, name := range []string{"service", "slo", "rollout"} {
		args = append(args, chart+"/dashboards/"+name+".json")
	}
	view := exec.Command("go", args...)
	view.Stderr = os.Stderr
	if err := view.Run(); err != nil {
		t.Error(err)
	}
	usual()
}

// slow makes the way longer, from now on.
func (g *gate) slow(delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = delay
}

func pause(d time.Duration) { <-time.After(d) }

// keep calls do again and again, so many at once, until stop is called.
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
