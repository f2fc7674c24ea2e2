package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"user-service/internal/testkit"
)

// child is a process that runs the service.
type child struct {
	cmd *exec.Cmd
	log *testkit.Buffer
	api string
}

// startService runs the service on a migrated database until the test ends.
func startService(t *testing.T, more map[string]string) *child {
	t.Helper()
	return startProgram(t, "user-service", more)
}

// startProgram is like startService, but runs the given executable.
func startProgram(t *testing.T, program string, more map[string]string) *child {
	t.Helper()
	env := environment(t)
	maps.Copy(env, more)
	var pairs []string
	for name, value := range env {
		pairs = append(pairs, name+"="+value)
	}
	migrate := exec.Command(program, "migrate", "up")
	migrate.Env = pairs
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := &child{cmd: exec.Command(program, "serve"), log: &testkit.Buffer{}}
	c.cmd.Env, c.cmd.Stderr = pairs, c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	if !testkit.Await(context.Background(), patience, func() bool { return servingAt.MatchString(c.log.String()) }) {
		t.Fatalf("the service does not serve: %s", c.log)
	}
	c.api = "http://" + servingAt.FindStringSubmatch(c.log.String())[1]
	return c
}

// stop sends SIGTERM and waits, like an orchestrator.
func (c *child) stop(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, c.log)
	}
}

// register creates an account within the caller's trace and returns its id. It retries after 503 on a busy machine.
func (c *child) register(t *testing.T, email, traceparent string) string {
	t.Helper()
	var id string
	if !testkit.Await(context.Background(), patience, func() bool { id = c.tryRegister(t, email, traceparent); return id != "" }) {
		t.Fatalf("no account can be created: %s", c.log)
	}
	return id
}

// tryRegister sends one registration. It returns the id of the account, or "" if the status is 503.
func (c *child) tryRegister(t *testing.T, email, traceparent string) string {
	t.Helper()
	body := fmt.Sprintf(`{"email": %q, "password": "seven green kettles sing"}`, email)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.api+"/register", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", traceparent)
	req.Header.Set("X-Request-Id", "traced-request")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusServiceUnavailable {
		return ""
	}
	var made struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return made.ID
}
