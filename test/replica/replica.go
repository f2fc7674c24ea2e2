// Package replica starts the program for tests, and measures its resources.
package replica

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Patience is the deadline of a test for an expected condition.
const Patience = time.Minute

// Main builds the program, runs tests with its path in program, and returns their exit code. It keeps a path that is already set.
func Main(m *testing.M, program *string) int {
	if *program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "user-service-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*program = filepath.Join(dir, "user-service")
	build := exec.Command("go", "build", "-o", *program, "user-service/cmd/user-service") //nolint:gosec,noctx // as long as it takes
	out, err := build.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Secret signs the tokens of replicas.
var Secret = rand.Text() + rand.Text()

// Replica is a process of the program.
type Replica struct {
	Addr    string // of the API
	URL     string
	metrics string
	log     string // the path of its log
	process *os.Process
	t       testing.TB
}

// Start starts the program on a database until the test ends. The settings override the defaults and the broker of the
// environment.
func Start(t testing.TB, program, dsn string, settings map[string]string) *Replica {
	t.Helper()
	r := &Replica{Addr: freeAddress(t), metrics: "http://" + freeAddress(t), log: filepath.Join(t.TempDir(), "log"), t: t}
	r.URL = "http://" + r.Addr
	log, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "DATABASE_URL": dsn, "HTTP_ADDR": r.Addr, "METRICS_ADDR": r.metrics[len("http://"):], "JWT_SECRET": Secret,
		"ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1",
	}
	for _, name := range []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS"} {
		if env[name] = os.Getenv(name); env[name] == "" {
			t.Fatal(name + ` is not set: run "make test", or: tools/dev/with-services go test`)
		}
	}
	maps.Copy(env, settings)
	cmd := exec.Command(program, "serve") //nolint:noctx // the cleanup ends it
	cmd.Stdout, cmd.Stderr = log, log
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			t.Log(r.tail(8))
		}
	})
	if !Await(t.Context(), r.IsReady) {
		t.Fatal("the program is not ready")
	}
	return r
}

// Await waits for a condition, and reports whether it held in time.
func Await(ctx context.Context, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends immediately
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// probes opens a new connection for each request.
var probes = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// IsReady reports whether the program is ready.
func (r *Replica) IsReady() bool {
	resp, err := probes.Get(r.metrics + "/readyz") //nolint:noctx // it has a timeout
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail returns the last lines of the log, without lines about requests.
func (r *Replica) tail(n int) string {
	var last []string
	r.EachLine(func(line string) {
		if !strings.Contains(line, `"msg":"request"`) {
			last = append(last, line)
		}
	})
	return strings.Join(last[max(0, len(last)-n):], "\n")
}

// EachLine calls look for each line of the log.
func (r *Replica) EachLine(look func(string)) {
	r.t.Helper()
	log, err := os.Open(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		look(lines.Text())
	}
}
