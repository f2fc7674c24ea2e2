package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestAHungHashingProcessIsReplaced suspends the hashing process with SIGSTOP. Logins must get 503 with Retry-After until another process
// has replaced it. Other requests must succeed.
func TestAHungHashingProcessIsReplaced(t *testing.T) {
	t.Parallel()
	c := startService(t, map[string]string{"RATE_LIMIT_PER_MINUTE": "0"})
	c.register(t, "first@example.com", "")
	first := c.hashes(t)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if a := c.answer(t, "first@example.com"); a.status != http.StatusServiceUnavailable || a.retryAfter < 1 {
		t.Errorf("the login in progress gets %+v, want 503 with Retry-After", a)
	}
	resp, err := http.Get(c.api + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/healthz responds with %d while the process hangs", resp.StatusCode)
	}
	if !testkit.Await(context.Background(), 2*patience, func() bool { return c.login(t, "first@example.com") == http.StatusOK }) {
		t.Fatalf("logins still fail: %s", c.log)
	}
	t.Logf("logins worked again %s after the process was stopped", time.Since(stopped).Round(time.Millisecond))
	if got := c.hashes(t); got == first {
		t.Errorf("process %d still computes hashes", got)
	}
	if !testkit.Await(context.Background(), patience, func() bool {
		return strings.Contains(c.log.String(), "after 10s without a response")
	}) {
		t.Errorf("the log does not have the reason of the kill: %s", c.log)
	}
}

// TestAFailedStartOfTheHashingProcessIsNotAnOverload makes the service's file non-executable, and kills the hashing process. Logins must
// get the problem unavailable, not overloaded, until the file is executable again.
func TestAFailedStartOfTheHashingProcessIsNotAnOverload(t *testing.T) {
	t.Parallel()
	program := copyOfProgram(t)
	c := startProgram(t, program, map[string]string{"RATE_LIMIT_PER_MINUTE": "0"})
	c.register(t, "first@example.com", "")
	if err := os.Chmod(program, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.hashes(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience,
		func() bool { return strings.Contains(c.log.String(), "hashing process has exited") }) {
		t.Fatalf("the log does not report the end of the process: %s", c.log)
	}
	begun := time.Now()
	const tries = 20
	for range tries {
		a := c.answer(t, "first@example.com")
		if a.status != http.StatusServiceUnavailable || a.problem != "/problems/unavailable" || a.retryAfter < 1 || a.retryAfter > 10 {
			t.Errorf("a login gets %+v, want 503 /problems/unavailable with Retry-After", a)
		}
	}
	took := time.Since(begun)
	text := c.log.String()
	if !strings.Contains(text, "check that the file of this program exists and is executable") {
		t.Errorf("the log does not say what to do: %s", text)
	}
	// The delays between two starts are 1, 2, 4, 8 and 10 s.
	if n := strings.Count(text, "passwords can't be hashed"); n == 0 || float64(n) > 1+took.Seconds() {
		t.Errorf("within %s the log reports %d failed starts, want at least one, and at most one a second", took, n)
	}
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), 2*patience, func() bool { return c.login(t, "first@example.com") == http.StatusOK }) {
		t.Errorf("logins still fail: %s", c.log)
	}
}

// copyOfProgram returns a copy of the program that no other test executes.
func copyOfProgram(t *testing.T) string {
	t.Helper()
	original, err := exec.LookPath("user-service")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user-service")
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// loginAnswer is the response to a login.
type loginAnswer struct {
	status     int
	problem    string
	retryAfter int // in seconds; 0: none
}

func (c *child) answer(t *testing.T, email string) (a loginAnswer) {
	t.Helper()
	body := fmt.Sprintf(`{"email": %q, "password": "seven green kettles sing"}`, email)
	resp, err := http.Post(c.api+"/login", "application/json", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var problem struct{ Type string }
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	a.retryAfter, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
	a.status, a.problem = resp.StatusCode, problem.Type
	return a
}
