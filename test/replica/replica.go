// Package replica starts the program for tests, and measures its resources.
package replica

import (
	"bufio"
	"crypto/rand"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// Secret signs the tokens of replicas.
var Secret = rand.Text() + rand.Text()

// Replica is a process of the program.
type Replica struct {
	Addr    string // the address of the API
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
	r := &Replica{Addr: testkit.FreeAddress(t), metrics: "http://" + testkit.FreeAddress(t), log: filepath.Join(t.TempDir(), "log"), t: t}
	r.URL = "http://" + r.Addr
	log, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "DATABASE_URL": dsn, "HTTP_ADDR": r.Addr,
		"METRICS_ADDR": r.metrics[len("http://"):], "JWT_SECRET": Secret,
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
	if !testkit.Await(t.Context(), testkit.Timeout, r.IsReady) {
		t.Fatal("the program is not ready")
	}
	return r
}

// probes sends each request through a new connection.
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
