package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
)

const (
	// shutdownTimeout is the SHUTDOWN_TIMEOUT of these tests.
	shutdownTimeout = 8 * time.Second
	// shutdownDelay is the SHUTDOWN_DELAY of these tests.
	shutdownDelay = time.Second
)

// service is one replica: a process of the program, which keeps its ports when it is restarted.
type service struct {
	program string
	url     string
	metrics string
	env     []string
	log     *testkit.Buffer
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
}

// newService prepares a replica, and kills it when the test ends.
func newService(t *testing.T, program string, env settings) *service {
	t.Helper()
	addr, metrics := testkit.FreeAddress(t), testkit.FreeAddress(t)
	s := &service{program: program, url: "http://" + addr, metrics: "http://" + metrics, log: &testkit.Buffer{}}
	s.env = environment(settings{
		"HTTP_ADDR": addr, "METRICS_ADDR": metrics, "LOG_LEVEL": "warn", "TRUSTED_PROXIES": "127.0.0.0/8",
		"ACCESS_TOKEN_TTL": "24h", "LOGIN_MAX_FAILURES": "0", "RATE_LIMIT_PER_MINUTE": "0", "ACCOUNT_RATE_LIMIT_PER_MINUTE": "0",
		"ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1", "PASSWORD_HASH_QUEUE": "1000",
		"SHUTDOWN_DELAY": shutdownDelay.String(), "SHUTDOWN_TIMEOUT": shutdownTimeout.String(),
	}.with(env))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s:\n%s", s.url, s.log.Tail(60))
		}
	})
	cleanUp(t, s.kill)
	return s
}

// launch starts the process.
func (s *service) launch() error {
	cmd, done := exec.Command(s.program, "serve"), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, s.log, s.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a replica: %w", err)
	}
	s.cmd, s.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	return nil
}

// start starts the process and waits until it is ready.
func (s *service) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	testkit.Await(context.Background(), testkit.Timeout, func() bool { return s.isReady() || s.hasEnded() })
	switch {
	case s.hasEnded():
		return fmt.Errorf("a replica ended: %v", s.cmd.ProcessState)
	case !s.isReady():
		return errors.New("a replica is not ready")
	}
	return nil
}

func (s *service) isReady() bool { return s.readiness() == http.StatusOK }

// probes requests readiness, each time through a new connection.
var probes = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// readiness returns the status of /readyz, or 0 without a response.
func (s *service) readiness() int {
	resp, err := probes.Get(s.metrics + "/readyz")
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (s *service) hasEnded() bool { return isClosed(s.done) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// kill sends SIGKILL to the process.
func (s *service) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// terminate sends SIGTERM to the process.
func (s *service) terminate() error { return s.cmd.Process.Signal(syscall.SIGTERM) }

// exitCode waits for the end of the process.
func (s *service) exitCode() (int, error) {
	if !testkit.Await(context.Background(), testkit.Timeout, s.hasEnded) {
		return 0, errors.New("a replica does not end")
	}
	return s.cmd.ProcessState.ExitCode(), nil
}

// runProgram runs another command of the program and returns its output.
func runProgram(t *testing.T, program string, env settings, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdin = environment(env), strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("user-service %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func environment(s settings) []string {
	env := []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range s {
		env = append(env, name+"="+value)
	}
	return env
}
