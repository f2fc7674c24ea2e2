package bench_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
)

const benchPassword = "seven green kettles sing"

// benchSecret signs the tokens of the replica.
var benchSecret = rand.Text() + rand.Text()

// answerTime is the timeout of a client. The contract gives a request 2 s.
const answerTime = 5 * time.Second

// replica is a process of the program with default settings.
type replica struct {
	cmd *exec.Cmd
	url string
}

// startReplica starts the program on a database until the benchmark ends. The settings, each NAME=value, override defaults. The service and
// its hashing process run in the memory group, if there is one.
func startReplica(b *testing.B, dsn string, group *memoryGroup, settings ...string) *replica {
	b.Helper()
	program, err := buildProgram()
	if err != nil {
		b.Fatal(err)
	}
	return startProgram(b, program, dsn, group, settings...)
}

// startProgram is like startReplica, but runs the given program.
func startProgram(b *testing.B, program, dsn string, group *memoryGroup, settings ...string) *replica {
	b.Helper()
	broker := broker(b)
	s := &replica{url: "http://" + testkit.FreeAddress(b), cmd: group.command(program, "serve")}
	s.cmd.Stderr = os.Stderr
	s.cmd.Env = append([]string{
		"DATABASE_URL=" + dsn, "HTTP_ADDR=" + s.url[len("http://"):], "METRICS_ADDR=127.0.0.1:0", "LOG_LEVEL=error",
		"RABBITMQ_HOST=" + broker.Host, fmt.Sprint("RABBITMQ_PORT=", broker.Port), "RABBITMQ_USER=" + broker.User,
		"RABBITMQ_PASS=" + broker.Password, "JWT_SECRET=" + benchSecret,
	}, settings...)
	// to try other values
	for _, name := range []string{"PASSWORD_HASH_CONCURRENCY", "PASSWORD_HASH_QUEUE", "GOMAXPROCS", "GOGC", "GODEBUG"} {
		if value := os.Getenv(name); value != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+value)
		}
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	client := newClient(1)
	testkit.WaitFor(b, "the program to serve", func() bool {
		return s.call(client, request{method: http.MethodGet, path: "/users/me"}).status == http.StatusUnauthorized
	})
	return s
}

var otherProgram = flag.String("program", "",
	"`path` of a user-service to measure, such as an older one, in place of the one that is built")

// buildProgram builds the program once for all benchmarks, and returns its path.
var buildProgram = sync.OnceValues(func() (string, error) {
	if *otherProgram != "" {
		return *otherProgram, nil
	}
	return testkit.Build(buildDir)
})

// request is a request of a client at the address in X-Forwarded-For, or at 127.0.0.1.
type request struct {
	method, path, body string
	token, address     string
}

// response has status 0 if there was no response within answerTime.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (s *replica) call(client *http.Client, r request) response {
	req, err := http.NewRequest(r.method, s.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return response{}
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.address != "" {
		req.Header.Set("X-Forwarded-For", r.address)
	}
	resp, err := client.Do(req)
	if err != nil {
		return response{}
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := io.Copy(&body, resp.Body); err != nil {
		return response{}
	}
	return response{resp.StatusCode, resp.Header, body.Bytes()}
}

// newClient returns a client that keeps this number of connections open.
func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: answerTime}
}

func loginBody(email, password string) string {
	return fmt.Sprintf(`{"email": %q, "password": %q}`, email, password)
}
