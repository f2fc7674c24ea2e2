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
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/event"
)

// The times of the pictures. The slowest alert, UserServicePodUnreachable, fires ten minutes after its fault.
const (
	beforeFaults = 5 * time.Minute
	underFaults  = 11*time.Minute + 30*time.Second
	afterFaults  = 4 * time.Minute
)

// drawn is the situation that is also drawn after its fault, with all panels.
const drawn = "slow-database"

// oneSlot are the settings of a pod that can hash one password at a time, for about 50 ms.
var oneSlot = []string{"ARGON2_MEMORY_KIB=19456", "ARGON2_ITERATIONS=2", "PASSWORD_HASH_CONCURRENCY=1", "PASSWORD_HASH_QUEUE=4"}

// scenes are the releases whose dashboards are drawn. All faults happen at the same time.
var scenes = []*situation{
	{name: "ordinary"},
	{name: "database-away", more: 1, strike: shutDatabases},
	{name: drawn, strike: slowDatabase},
	{name: "login-storm", env: oneSlot, strike: storm},
	{name: "broker-away", strike: shutBroker},
	{name: "pod-hangs", more: 1, strike: stopPod},
	{name: "guessing", strike: guess},
	{name: "event-parked", strike: parkEvent},
	{name: "no-queue", strike: resetForMany},
	{name: "table-locked", env: []string{"DATABASE_MAX_CONNS=4"}, strike: lockTableInUse},
}

// TestDrawDashboards is run by make dashboards. It draws the first screen under each fault, and all panels after one of them.
func TestDrawDashboards(t *testing.T) {
	bind := newQueue(t)
	var rules []string
	var all []*stage
	for _, now := range scenes {
		now.bind = bind
		now.env = append(now.env, "ACCESS_TOKEN_TTL=1h")
		file, _ := ruleFileOf(t, now.name)
		rules = append(rules, file)
		now.start(t)
		behindService(t, now.pods)
		now.pods[0].mailer = serveMailMetrics(t)
		all = append(all, now.pods...)
	}
	prometheus := scrape(t, "2s", rules, all...)
	began := time.Now()
	for _, now := range scenes {
		now.pods[0].await("a ready pod", func() bool {
			status, _, err := now.pods[0].try(http.MethodGet, "/readyz", "", nil)
			return err == nil && status == http.StatusOK
		})
		stop := now.pods[0].daily()
		defer stop()
	}
	testkit.Pause(t.Context(), beforeFaults)
	var mend []func()
	for _, now := range scenes {
		if now.strike != nil {
			mend = append(mend, now.strike(now))
		}
	}
	testkit.Pause(t.Context(), underFaults)
	for _, now := range scenes {
		draw(t, prometheus, now.name, began, "fault-"+now.name, "-first")
	}
	for _, end := range mend {
		end()
	}
	testkit.Pause(t.Context(), afterFaults)
	draw(t, prometheus, drawn, began, "")
}

// draw draws the dashboards of a release. With a name, it draws only the dashboard Service.
func draw(t *testing.T, prometheus, namespace string, began time.Time, name string, flags ...string) {
	t.Helper()
	args := append([]string{
		"run", "./tools/dashboardview", "-out", "docs/images",
		"-prometheus", prometheus, "-last", time.Since(began).Round(time.Second).String(),
		"-var", "namespace=" + namespace, "-var", "job=" + release, "-grafana", os.Getenv("GRAFANA_URL"),
	}, flags...)
	dir := t.TempDir()
	for file, text := range dashboardFiles(t) {
		picture := strings.TrimPrefix(file, "user-service-")
		if name != "" && picture != "service.json" {
			continue
		}
		if name != "" {
			picture = name + ".json"
		}
		if err := os.WriteFile(filepath.Join(dir, picture), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, picture))
	}
	view := exec.Command("go", args...)
	view.Stderr = os.Stderr
	if err := view.Run(); err != nil {
		t.Errorf("draw %s: %v", namespace, err)
	}
}

func shutDatabases(now *situation) func() {
	set := func(shut bool) {
		for _, pod := range now.pods {
			pod.database.set(shut)
		}
	}
	set(true)
	return func() { set(false) }
}

// stopPod stops the process of the last pod. Its connections stay open, and nobody answers.
func stopPod(now *situation) func() {
	last := now.pods[len(now.pods)-1].process.Process
	_ = last.Signal(syscall.SIGSTOP)
	mend := func() { _ = last.Signal(syscall.SIGCONT) }
	now.pods[0].t.Cleanup(mend) // a stopped process ignores the end of the test
	return mend
}

// resetForMany requests resets of several users, because the service limits the resets of each user.
func resetForMany(now *situation) func() {
	s := now.pods[0]
	stop := s.keep(2, func() {
		email, _ := s.enter()
		_, _, _ = s.try(http.MethodPost, "/password-reset", "", map[string]any{"email": email})
		testkit.Pause(context.Background(), 2*time.Second)
	})
	return func() { stop(); now.bind(event.PasswordResetRequested) }
}

// lockTableInUse locks a table that more requests need than the pod has connections.
func lockTableInUse(now *situation) func() {
	stop, end := now.pods[0].keep(6, read(now.pods[0])), lockTable(now)
	return func() { stop(); end() }
}

// daily sends the requests of ordinary users, until stop is called.
func (s *stage) daily() (stop func()) {
	readers, others := s.keep(2, s.reading()), s.keep(3, s.everyday)
	return func() { readers(); others() }
}

// reading creates a user who stays logged in. once sends one request of this user.
func (s *stage) reading() (once func()) {
	_, access := s.enter()
	return func() {
		_, _, _ = s.try(http.MethodGet, "/users/me", access, nil)
		testkit.Pause(context.Background(), 400*time.Millisecond)
	}
}

var lives atomic.Int64

// everyday sends the requests of other users, with an occasional mistake.
func (s *stage) everyday() {
	life := lives.Add(1)
	account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
	_, _, _ = s.try(http.MethodPost, "/register", "", account)
	if life%8 == 0 {
		_, _, _ = s.try(http.MethodPost, "/register", "", account) // the email is taken
		_, _, _ = s.try(http.MethodPost, "/login", "", map[string]any{"email": account["email"], "password": "wrong " + password})
		_, _, _ = s.try(http.MethodGet, "/nowhere", "", nil)
	}
	_, pair, _ := s.try(http.MethodPost, "/login", "", account)
	testkit.Pause(context.Background(), time.Second)
	access, ok := pair["access_token"].(string)
	if !ok {
		return // the user logs in again later
	}
	_, _, _ = s.try(http.MethodPatch, "/users/me", access, map[string]any{"name": rand.Text()})
	_, next, _ := s.try(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": pair["refresh_token"]})
	switch life % 3 {
	case 0:
		_, _, _ = s.try(http.MethodPost, "/logout", access, nil)
	case 1:
		_, _, _ = s.try(http.MethodDelete, "/users/me", access, nil)
	default:
		_, _, _ = s.try(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": next["refresh_token"]})
	}
}
