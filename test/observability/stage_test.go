package observability_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

// stage is a running service whose servers can go away, and a Prometheus that scrapes it all the time.
type stage struct {
	t                *testing.T
	api, metrics     string
	prometheus       string
	database, broker *gate
}

var servingAt = regexp.MustCompile(`"msg":"serving".*"api":"(.+?)".*"metrics":"(.+?)"`)

// newStage starts all that. more are variables of the service's environment.
func newStage(t *testing.T, rules string, more ...string) *stage {
	t.Helper()
	dsn, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, database: newGate(t, dsn.Host), broker: newGate(t, os.Getenv("RABBITMQ_HOST")+":"+os.Getenv("RABBITMQ_PORT"))}
	dsn.Host = s.database.Addr().String()
	service := exec.Command(program, "serve")
	service.Env = []string{
		"DATABASE_URL=" + dsn.String(), "RABBITMQ_HOST=127.0.0.1", "RABBITMQ_PORT=" + port(s.broker.Addr().String()),
		"RABBITMQ_USER=" + os.Getenv("RABBITMQ_USER"), "RABBITMQ_PASS=" + os.Getenv("RABBITMQ_PASS"),
		"JWT_SECRET=" + rand.Text() + rand.Text(), "HTTP_ADDR=127.0.0.1:0", "METRICS_ADDR=127.0.0.1:0", "SHUTDOWN_DELAY=0s",
		"ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1", "RATE_LIMIT_PER_MINUTE=0",
	}
	service.Env = append(service.Env, more...)
	log := s.start(service)
	s.await("the service", func() bool { return servingAt.MatchString(log.String()) })
	found := servingAt.FindStringSubmatch(log.String())
	s.api, s.metrics = "http://"+found[1], found[2]
	s.scrape(rules)
	return s
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// scrape starts Prometheus, with the labels that the Prometheus operator gives.
func (s *stage) scrape(rules string) {
	s.t.Helper()
	dir := s.t.TempDir()
	config := fmt.Sprintf(`{"global": {"scrape_interval": "2s", "evaluation_interval": "1s"}, "rule_files": [%q], "scrape_configs": [
		{"job_name": %q, "static_configs": [{"targets": [%q], "labels": {"namespace": %q, "pod": "a"}}]}]}`, rules, release, s.metrics, namespace)
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	log := s.start(exec.Command(".bin/prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--log.format=json"))
	listening := regexp.MustCompile(`"msg":"Listening on","component":"web","address":"(.+?)"`)
	s.await("Prometheus", func() bool { return listening.MatchString(log.String()) })
	s.prometheus = "http://" + listening.FindStringSubmatch(log.String())[1]
}

// start runs a program until the test ends.
func (s *stage) start(command *exec.Cmd) *output {
	s.t.Helper()
	log := &output{}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if s.t.Failed() {
			all := log.String()
			s.t.Logf("the end of the log of %s:\n%s", command.Path, all[max(0, len(all)-3000):])
		}
	})
	return log
}

// await waits until the condition holds.
func (s *stage) await(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.After(2 * time.Minute); !condition(); {
		select {
		case <-deadline:
			s.t.Fatalf("waited in vain for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// call sends a request and returns the status and the answer.
func (s *stage) call(method, path, token string, body any) (int, map[string]any) {
	s.t.Helper()
	text, _ := json.Marshal(body)
	req, err := http.NewRequest(method, s.api+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&out) // empty where there is none
	return resp.StatusCode, out
}

// ask asks Prometheus, and decodes what is in data.
func (s *stage) ask(path string, query url.Values, data any) error {
	resp, err := http.Get(s.prometheus + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s", answer.Error)
	}
	return nil
}

// values returns what a query gives now, without what is not a number.
func (s *stage) values(query string) []string {
	s.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := s.ask("query", url.Values{"query": {query}}, &data); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	var out []string
	for _, sample := range data.Result {
		if value, _ := sample.Value[1].(string); value != "NaN" {
			out = append(out, value)
		}
	}
	return out
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	all strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
