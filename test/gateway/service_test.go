package gateway_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
)

const (
	issuer   = "https://users.example.com"
	audience = "shop"
	secret   = "seven green kettles sing"
)

// service is a process of the program.
type service struct {
	t    *testing.T
	addr string
	env  []string
}

// servingAt matches the log line of a service that listens.
var servingAt = regexp.MustCompile(`"msg":"serving".*"api":"(.+?)"`)

// startService runs the service until the test ends. more are variables of its environment.
func startService(t *testing.T, more ...string) *service {
	t.Helper()
	env := append([]string{
		"PATH=" + os.Getenv("PATH"), "DATABASE_URL=" + postgrestest.URL(t),
		"HTTP_ADDR=127.0.0.1:0", "METRICS_ADDR=127.0.0.1:0", "SHUTDOWN_DELAY=0s", "RATE_LIMIT_PER_MINUTE=0",
		"ACCOUNT_RATE_LIMIT_PER_MINUTE=0",
		"JWT_SECRET=" + rand.Text() + rand.Text(), "JWT_ISSUER=" + issuer, "JWT_AUDIENCE=" + audience,
		"ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1",
	}, more...)
	for _, name := range []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	cmd := exec.Command(program, "serve")
	cmd.Env = env
	log := startProcess(t, cmd)
	testkit.WaitFor(t, "the service to serve", func() bool { return servingAt.MatchString(log.String()) })
	return &service{t: t, addr: servingAt.FindStringSubmatch(log.String())[1], env: env}
}

// of returns the same service for a subtest.
func (s *service) of(t *testing.T) *service { return &service{t: t, addr: s.addr, env: s.env} }

// startProcess runs a command until the test ends, and returns what it prints.
func startProcess(t *testing.T, cmd *exec.Cmd) *testkit.Buffer {
	t.Helper()
	log := &testkit.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // after SIGTERM, nginx also ends its workers
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", cmd.Path, log)
		}
	})
	return log
}

// caller is an account with a session.
type caller struct{ id, email, token, refresh string }

// logIn creates an account with the role, and logs in.
func (s *service) logIn(role string) caller {
	s.t.Helper()
	email := rand.Text() + "@example.com"
	create := exec.Command(program, "users", "create", "--email", email, "--role", role, "--password-stdin")
	create.Env, create.Stdin = s.env, strings.NewReader(secret)
	id, err := create.Output()
	if err != nil {
		s.t.Fatalf("create an account: %v", err)
	}
	c := caller{id: strings.TrimSpace(string(id)), email: email}
	c.token, c.refresh = s.tokens(email)
	return c
}

// token logs in, and returns an access token.
func (s *service) token(email string) string {
	s.t.Helper()
	access, _ := s.tokens(email)
	return access
}

// tokens logs in, and returns an access token and a refresh token.
func (s *service) tokens(email string) (access, refresh string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"email": %q, "password": %q}`, email, secret)
	resp, err := http.Post("http://"+s.addr+"/login", "application/json", bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var pair struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&pair); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("log in: %s, %v", resp.Status, err)
	}
	return pair.AccessToken, pair.RefreshToken
}

// put sends a change as the caller.
func (s *service) put(by caller, path string, change any) {
	s.t.Helper()
	s.send(http.MethodPut, by, path, change, new(json.RawMessage))
}

// post sends a request as the caller, and decodes the answer.
func (s *service) post(by caller, path string, request, answer any) {
	s.t.Helper()
	s.send(http.MethodPost, by, path, request, answer)
}

func (s *service) send(method string, by caller, path string, request, answer any) {
	s.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	req, _ := http.NewRequest(method, "http://"+s.addr+path, bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+by.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s, %v", method, path, resp.Status, err)
	}
}

// logOut ends the caller's session.
func (s *service) logOut(c caller) {
	s.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, "http://"+s.addr+"/logout", nil)
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		s.t.Fatalf("log out: %s", resp.Status)
	}
}

// session is one entry of GET /users/me/sessions.
type session struct{ IP string }

func (s *service) sessions(t *testing.T, c caller) []session {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, "http://"+s.addr+"/users/me/sessions", nil)
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct{ Items []session }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("list sessions: %s, %v", resp.Status, err)
	}
	return list.Items
}
