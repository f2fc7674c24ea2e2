package fuzz_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"user-service/pkg/postgres/postgrestest"
)

// secret signs the tokens of the replica.
var secret = rand.Text() + rand.Text()

// perAddress is the quota of anonymous requests. One address in the mix exceeds it.
const perAddress = 20

// replica is the program, as a process of its own.
type replica struct {
	t             *testing.T
	addr, metrics string
	dsn           string
	log           string // the path of its log
}

// startReplica starts the program on a database of its own until the test ends. Its hashes are cheap, since the requests are not about
// them, and the machine is kept busy by others.
func startReplica(t *testing.T) *replica {
	t.Helper()
	r := &replica{t: t, addr: freeAddress(t), metrics: "http://" + freeAddress(t), dsn: postgrestest.URL(t), log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(*program, "serve")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "DATABASE_URL=" + r.dsn, "HTTP_ADDR=" + r.addr, "METRICS_ADDR=" + r.metrics[len("http://"):], "JWT_SECRET=" + secret,
		"ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1", "RATE_LIMIT_PER_MINUTE=" + strconv.Itoa(perAddress), "ACCOUNT_RATE_LIMIT_PER_MINUTE=600",
		"TRUSTED_PROXIES=127.0.0.0/8", "PASSWORD_HASH_QUEUE=1000",
	}
	for _, name := range []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS"} {
		value := os.Getenv(name)
		if value == "" {
			t.Fatal(name + ` is not set: run "make test", or: tools/dev/with-services go test ./test/fuzz`)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			t.Log(r.tail(20))
		}
	})
	if !await(t.Context(), r.isReady) {
		t.Fatal("the program is not ready")
	}
	return r
}

func (r *replica) isReady() bool {
	resp, err := http.Get(r.metrics + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// held is what the process holds. Connections to the database are apart, since the pool keeps them open.
type held struct{ goroutines, descriptors, pool, used int }

func (h held) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d connections of the pool, %d of them in use", h.goroutines, h.descriptors, h.pool, h.used)
}

// leaks reports whether it is more than an idle process holds.
func (h held) leaks(idle held) bool {
	return h.goroutines > idle.goroutines || h.descriptors-h.pool > idle.descriptors-idle.pool || h.used > 0
}

var metricLine = regexp.MustCompile(`^(go_goroutines|process_open_fds|db_client_connection_count\{.*state="(idle|used)"\}) (\d+)`)

// holds asks the process what it holds.
func (r *replica) holds() (h held) {
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(r.metrics + "/metrics")
	if err != nil {
		return held{goroutines: 1 << 20}
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		found := metricLine.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		n, _ := strconv.Atoi(found[3])
		switch {
		case found[1] == "go_goroutines":
			h.goroutines = n
		case found[1] == "process_open_fds":
			h.descriptors = n
		case found[2] == "used":
			h.used, h.pool = n, h.pool+n
		default:
			h.pool += n
		}
	}
	return h
}

// idle returns what the process holds when nothing happens.
func (r *replica) idle(ctx context.Context) (h held) {
	same := 0
	await(ctx, func() bool {
		now := r.holds()
		if now.used == 0 && now.goroutines == h.goroutines && now.descriptors == h.descriptors {
			same++
		} else {
			same = 0
		}
		h = now
		return same >= 10
	})
	return h
}

// tail returns the last lines of the log that are not about requests.
func (r *replica) tail(n int) string {
	var last []string
	r.eachLine(func(line string) {
		if !strings.Contains(line, `"msg":"request"`) {
			last = append(last, line)
		}
	})
	return strings.Join(last[max(0, len(last)-n):], "\n")
}

func (r *replica) eachLine(look func(string)) {
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
