package observability_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/mail"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/telemetry"
)

// stage is a running service whose servers can be disconnected, and a Prometheus that scrapes it.
type stage struct {
	t                *testing.T
	namespace, pod   string // The labels in Prometheus.
	api, metrics     string
	url              string // The address for requests.
	ca               string // The file with the CA of the database.
	mailer           string // The address of the mailer's metrics.
	dsn              string // The URL of its database, without the gate.
	prometheus       string
	database, broker *gate
	env              []string
	process          *exec.Cmd
}

// requests matches lines of the log that do not help to explain a failed test.
var requests = regexp.MustCompile(`(?m)^.*"level":"INFO","msg":"request".*\n`)

var servingAt = regexp.MustCompile(`"msg":"serving".*"api":"(.+?)".*"metrics":"(.+?)"`)

// newStage starts a stage. more are variables of the service's environment.
func newStage(t *testing.T, rules string, more ...string) *stage {
	t.Helper()
	s := newService(t, namespace, "a", postgrestest.URL(t), more...)
	s.mailer = serveMailMetrics(t)
	s.prometheus = scrape(t, "2s", []string{rules}, s)
	return s
}

// serveMailMetrics serves the metrics of a mailer that handles one event before each scrape, and returns the address. A second mailer at
// the broker of the tests would take events from the mailer that the tests of the command run.
func serveMailMetrics(t *testing.T) string {
	t.Helper()
	m := telemetry.NewMailMetrics("1.2.3", []string{string(mail.PasswordReset)}, mail.Results())
	for _, name := range []string{"user_service.mail", "user_service.mail.urgent"} {
		queue := m.Queue(name)
		queue.Connected(true)
		queue.QueueLengths(0, 0, 0)
	}
	m.SecretsRejected(0)
	metrics := m.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.MailHandled(string(mail.PasswordReset), mail.ResultSent)
		m.MailAttempted(time.Second, true)
		metrics.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// newService starts a service. namespace and pod are only labels in Prometheus.
func newService(t *testing.T, namespace, pod, database string, more ...string) *stage {
	t.Helper()
	dsn, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		t: t, namespace: namespace, pod: pod, dsn: database, ca: newCA(t),
		database: newGate(t, dsn.Host), broker: newGate(t, os.Getenv("RABBITMQ_HOST")+":"+os.Getenv("RABBITMQ_PORT")),
	}
	dsn.Host = s.database.Addr().String()
	s.env = append([]string{
		"DATABASE_URL=" + dsn.String(), "RABBITMQ_HOST=127.0.0.1", "RABBITMQ_PORT=" + port(s.broker.Addr().String()),
		"RABBITMQ_USER=" + os.Getenv("RABBITMQ_USER"), "RABBITMQ_PASS=" + os.Getenv("RABBITMQ_PASS"),
		"SHUTDOWN_DELAY=0s", "ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1", "RATE_LIMIT_PER_MINUTE=0", "ACCOUNT_RATE_LIMIT_PER_MINUTE=0",
		"JWT_SECRET=" + rand.Text() + rand.Text(), "PGSSLROOTCERT=" + s.ca,
	}, more...)
	s.api, s.metrics = s.serve("HTTP_ADDR=127.0.0.1:0", "METRICS_ADDR=127.0.0.1:0")
	s.url = s.api
	return s
}

// serve starts the service's process, and returns its addresses.
func (s *stage) serve(addresses ...string) (api, metrics string) {
	s.t.Helper()
	s.process = exec.Command(program, "serve")
	s.process.Env = append(slices.Clone(s.env), addresses...)
	log := start(s.t, s.process)
	s.await("the service", func() bool { return servingAt.MatchString(log.String()) })
	found := servingAt.FindStringSubmatch(log.String())
	return "http://" + found[1], found[2]
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// scrape starts a Prometheus for some services, with the labels of the Prometheus operator, and returns its address.
func scrape(t *testing.T, every string, rules []string, services ...*stage) string {
	t.Helper()
	type object = map[string]any
	targets, mailers := []object{}, []object{}
	target := func(address, namespace, pod string) object {
		return object{"targets": []string{address}, "labels": object{"cluster": "test", "namespace": namespace, "pod": pod}}
	}
	for _, s := range services {
		targets = append(targets, target(s.metrics, s.namespace, s.pod))
		if s.mailer != "" {
			mailers = append(mailers, target(s.mailer, s.namespace, "m"))
		}
	}
	jobs := []object{
		{"job_name": release, "static_configs": targets},
		{"job_name": release + "-mailer", "static_configs": mailers},
	}
	config, err := json.Marshal(object{
		"global":         object{"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1s"},
		"rule_files":     rules,
		"scrape_configs": jobs,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	log := start(t, exec.Command(".bin/prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--log.format=json"))
	listening := regexp.MustCompile(`"msg":"Listening on","component":"web","address":"(.+?)"`)
	await(t, "Prometheus", func() bool {
		return listening.MatchString(log.String()) && strings.Contains(log.String(), "Server is ready to receive web requests.")
	})
	return "http://" + listening.FindStringSubmatch(log.String())[1]
}

// start runs a program until the test ends.
func start(t *testing.T, command *exec.Cmd) *testkit.Buffer {
	t.Helper()
	log := &testkit.Buffer{}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			all := requests.ReplaceAllString(log.String(), "")
			t.Logf("the end of the log of %s:\n%s", command.Path, all[max(0, len(all)-3000):])
		}
	})
	return log
}

// await waits until the condition holds.
func (s *stage) await(what string, condition func() bool) {
	s.t.Helper()
	await(s.t, what, condition)
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !testkit.Await(t.Context(), 2*testkit.Timeout, condition) {
		t.Fatalf("timed out waiting for %s", what)
	}
}

// call sends a request and returns the status and the response.
func (s *stage) call(method, path, token string, body any) (int, map[string]any) {
	s.t.Helper()
	status, answer, err := s.try(method, path, token, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, answer
}

// users do not wait forever for a pod that hangs.
var users = &http.Client{Timeout: 10 * time.Second}

// try is like call, except that the service need not be running.
func (s *stage) try(method, path, token string, body any) (int, map[string]any, error) {
	text, _ := json.Marshal(body)
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := users.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&out) // empty if there is no body
	return resp.StatusCode, out, nil
}

// ask queries Prometheus, and decodes the member data.
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

// values returns the current results of a query without NaN.
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
