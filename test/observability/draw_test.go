//go:build draw

package observability_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestDrawDashboards is run by make dashboards. It draws the dashboards after half an hour with three faults: no broker, a slow database,
// and a storm of logins. Each fault lasts until its alerts fire.
func TestDrawDashboards(t *testing.T) {
	file, _ := ruleFile(t)
	s := newStage(t, file, "ARGON2_MEMORY_KIB=19456", "ARGON2_ITERATIONS=2", "PASSWORD_HASH_CONCURRENCY=1",
		"PASSWORD_HASH_QUEUE=8", "DATABASE_MAX_CONNS=10", "ACCESS_TOKEN_TTL=1h")
	s.await("a ready service", func() bool { status, _ := s.call(http.MethodGet, "/readyz", "", nil); return status == http.StatusOK })
	began := time.Now()
	readers := s.keep(12, s.reading())
	others := s.keep(3, s.everyday)
	testkit.Pause(context.Background(), 90*time.Second)

	s.broker.set(true)
	testkit.Pause(context.Background(), 340*time.Second)
	s.broker.set(false)
	testkit.Pause(context.Background(), 90*time.Second)

	s.database.slow(260 * time.Millisecond)
	testkit.Pause(context.Background(), 6*time.Minute)
	s.database.slow(0)
	testkit.Pause(context.Background(), 90*time.Second)

	storm := s.keep(12, func() {
		s.call(http.MethodPost, "/login", "", map[string]any{"email": rand.Text() + "@example.com", "password": password})
		testkit.Pause(context.Background(), 200*time.Millisecond)
	})
	testkit.Pause(context.Background(), 340*time.Second)
	storm()
	testkit.Pause(context.Background(), time.Minute)

	args := []string{
		"run", "./tools/dashboardview", "-out", "docs/images",
		"-prometheus", s.prometheus, "-last", time.Since(began).Round(time.Second).String(),
		"-var", "namespace=" + namespace, "-var", "job=" + release,
	}
	dir := t.TempDir()
	for name, text := range dashboardFiles(t) {
		file := filepath.Join(dir, strings.TrimPrefix(name, "user-service-")) // the names of the pictures
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	view := exec.Command("go", args...)
	view.Stderr = os.Stderr
	if err := view.Run(); err != nil {
		t.Error(err)
	}
	readers()
	others()
}

// reading creates a user who stays logged in. once sends one request of this user.
func (s *stage) reading() (once func()) {
	account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
	s.call(http.MethodPost, "/register", "", account)
	_, pair := s.call(http.MethodPost, "/login", "", account)
	access, _ := pair["access_token"].(string)
	return func() {
		s.call(http.MethodGet, "/users/me", access, nil)
		testkit.Pause(context.Background(), 400*time.Millisecond)
	}
}

var lives atomic.Int64

// everyday sends the requests of other users, with an occasional mistake.
func (s *stage) everyday() {
	life := lives.Add(1)
	account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
	s.call(http.MethodPost, "/register", "", account)
	if life%8 == 0 {
		s.call(http.MethodPost, "/register", "", account) // the email is taken
		s.call(http.MethodPost, "/login", "", map[string]any{"email": account["email"], "password": "wrong " + password})
		s.call(http.MethodGet, "/nowhere", "", nil)
	}
	_, pair := s.call(http.MethodPost, "/login", "", account)
	testkit.Pause(context.Background(), time.Second)
	access, ok := pair["access_token"].(string)
	if !ok {
		return // the user logs in again later
	}
	s.call(http.MethodPatch, "/users/me", access, map[string]any{"name": rand.Text()})
	_, next := s.call(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": pair["refresh_token"]})
	switch life % 3 {
	case 0:
		s.call(http.MethodPost, "/logout", access, nil)
	case 1:
		s.call(http.MethodDelete, "/users/me", access, nil)
	default:
		s.call(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": next["refresh_token"]})
	}
}
