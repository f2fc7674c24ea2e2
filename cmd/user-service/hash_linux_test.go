package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"user-service/internal/testkit"
)

// TestPasswordsAreHashedByAChildProcess checks the environment of the hashing process. It kills the process, which must be replaced. Then
// it kills the service, and the second hashing process must end.
func TestPasswordsAreHashedByAChildProcess(t *testing.T) {
	t.Parallel()
	c := startService(t, map[string]string{"GOMEMLIMIT": "200MiB", "PASSWORD_HASH_CONCURRENCY": "1000"})
	first := c.hashes(t)
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(first), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range strings.SplitSeq(strings.Trim(string(env), "\x00"), "\x00") {
		name, value, _ := strings.Cut(pair, "=")
		if !slices.Contains([]string{"GOMAXPROCS", "GOMEMLIMIT"}, name) {
			t.Errorf("the environment of the hashing process has %s, want only GOMAXPROCS and GOMEMLIMIT", pair)
		}
		if cpus := strconv.Itoa(runtime.GOMAXPROCS(0)); name == "GOMAXPROCS" && value != cpus {
			t.Errorf("the hashing process may use %s CPUs, want %s", value, cpus)
		}
	}
	c.register(t, "first@example.com", "")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} { // a terminal also sends them to the hashing process
		if err := syscall.Kill(first, s); err != nil {
			t.Fatal(err)
		}
	}
	c.register(t, "second@example.com", "")
	if got := c.hashes(t); got != first {
		t.Errorf("after SIGINT and SIGTERM, process %d computes the hashes, want still process %d", got, first)
	}

	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool { return strings.Contains(c.log.String(), "signal: killed") }) {
		t.Errorf("the log does not report the end of the process: %s", c.log)
	}
	if !testkit.Await(context.Background(), patience, func() bool { return c.login(t, "first@example.com") == http.StatusOK }) {
		t.Errorf("logins still fail: %s", c.log)
	}
	second := c.hashes(t)

	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool { return syscall.Kill(second, 0) != nil }) {
		t.Errorf("process %d outlives the service", second)
	}
	_ = c.cmd.Wait()
}

// hashes returns the id of the hashing process, which is the only child of the service.
func (c *child) hashes(t *testing.T) (pid int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		found = append(found, strings.Fields(string(children))...)
	}
	if len(found) != 1 {
		t.Fatalf("the service has the child processes %v, want one: %s", found, c.log)
	}
	pid, err = strconv.Atoi(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (c *child) login(t *testing.T, email string) (status int) {
	t.Helper()
	body := fmt.Sprintf(`{"email": %q, "password": "seven green kettles sing"}`, email)
	resp, err := http.Post(c.api+"/login", "application/json", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
