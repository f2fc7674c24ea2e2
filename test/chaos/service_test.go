package chaos_test

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shutdownTimeout is the SHUTDOWN_TIMEOUT of these tests.
const shutdownTimeout = 10 * time.Second

// service is one replica: a process of the program, which has the same ports each time
// it is started.
type service struct {
	t    *testing.T
	url  string
	env  []string
	log  *output
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// secret signs the tokens of all replicas.
var secret = cryptorand.Text() + cryptorand.Text()

// newService prepares a replica. It is killed when the test ends.
func newService(t *testing.T, env settings) *service {
	t.Helper()
	addr := freeAddress(t)
	s := &service{t: t, url: "http://" + addr, log: &output{}}
	s.env = environment(settings{
		"HTTP_ADDR": addr, "METRICS_ADDR": freeAddress(t), "LOG_LEVEL": "warn",
		"JWT_SECRET": secret, "ACCESS_TOKEN_TTL": "24h",
		"ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1", "PASSWORD_HASH_QUEUE": "1000", "RATE_LIMIT_PER_MINUTE": "0", "ACCOUNT_RATE_LIMIT_PER_MINUTE": "0",
		"SHUTDOWN_DELAY": "0s", "SHUTDOWN_TIMEOUT": shutdownTimeout.String(), "DATABASE_MAX_CONNS": "8",
	}.with(env))
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the log of %s:\n%s", s.url, s.log.tail(40))
		}
	})
	return s
}

// start starts the process and waits until it is ready.
func (s *service) start() {
	s.t.Helper()
	cmd, done := exec.Command(program, "serve"), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	waitFor(s.t, s.url+" to be ready", func() bool { return s.isReady() || s.hasEnded() })
	if s.hasEnded() {
		s.t.Fatalf("the service ended: %v", cmd.ProcessState)
	}
}

func (s *service) isReady() bool { return s.readiness() == http.StatusOK }

// readiness returns the status of /readyz, 0 if there is no answer.
func (s *service) readiness() int {
	resp, err := http.Get(s.url + "/readyz")
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (s *service) hasEnded() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// kill ends the process as kill -9 does.
func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// terminate asks the process to end.
func (s *service) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// exitCode waits for the end of the process.
func (s *service) exitCode() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience()):
		s.t.Fatal("the service does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// runProgram runs another command of the program and returns what it prints.
func runProgram(t *testing.T, env settings, input string, args ...string) string {
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

// freeAddress returns an address that the service can have each time: its port is below those
// that systems give to outgoing connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.N(10000)))
		if err != nil {
			continue
		}
		_ = l.Close()
		return l.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// tail returns the last lines.
func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(o.all.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
