//go:build draw

package observability_test

import (
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// TestDrawDashboards is run by make dashboards. It draws the dashboards after half an hour in which the broker was away, the
// database was slow and logins stormed, one after the other, each for as long as it takes its alerts to fire.
func TestDrawDashboards(t *testing.T) {
	file, _ := ruleFile(t)
	s := newStage(t, file, "ARGON2_MEMORY_KIB=19456", "ARGON2_ITERATIONS=2", "PASSWORD_HASH_CONCURRENCY=1", "PASSWORD_HASH_QUEUE=8", "DATABASE_MAX_CONNS=10")
	s.await("a ready service", func() bool { status, _ := s.call(http.MethodGet, "/readyz", "", nil); return status == http.StatusOK })
	began := time.Now()
	usual := s.keep(8, s.everyday)
	pause(2 * time.Minute)

	s.broker.set(true)
	pause(340 * time.Second)
	s.broker.set(false)
	pause(90 * time.Second)

	s.database.slow(260 * time.Millisecond)
	pause(5 * time.Minute)
	s.database.slow(0)
	pause(90 * time.Second)

	storm := s.keep(12, func() {
		s.call(http.MethodPost, "/login", "", map[string]any{"email": rand.Text() + "@example.com", "password": password})
		pause(200 * time.Millisecond)
	})
	pause(340 * time.Second)
	storm()
	pause(time.Minute)

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

var lives atomic.Int64

// everyday is what a user does: reading most of the time, and a mistake now and then.
func (s *stage) everyday() {
	account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
	s.call(http.MethodPost, "/register", "", account)
	if lives.Add(1)%8 == 0 {
		s.call(http.MethodPost, "/register", "", account) // taken
		s.call(http.MethodPost, "/login", "", map[string]any{"email": account["email"], "password": "wrong " + password})
		s.call(http.MethodGet, "/nowhere", "", nil)
	}
	_, pair := s.call(http.MethodPost, "/login", "", account)
	access, ok := pair["access_token"].(string)
	if !ok {
		pause(time.Second) // and tries again
		return
	}
	for range 40 {
		s.call(http.MethodGet, "/users/me", access, nil)
		pause(200 * time.Millisecond)
	}
	s.call(http.MethodPatch, "/users/me", access, map[string]any{"name": rand.Text()})
	_, next := s.call(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": pair["refresh_token"]})
	if lives.Load()%3 == 0 {
		s.call(http.MethodPost, "/logout", access, nil)
	} else {
		s.call(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": next["refresh_token"]})
	}
	if lives.Load()%5 == 0 {
		s.call(http.MethodDelete, "/users/me", access, nil)
	}
}
