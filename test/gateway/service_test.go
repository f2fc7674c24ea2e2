package gateway_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/pkg/postgres/postgrestest"
)

const password = "seven green kettles sing"

// service is the real program on a database of its own.
type service struct {
	t    *testing.T
	addr string
}

func startService(t *testing.T, more map[string]string) *service {
	t.Helper()
	s := &service{t: t, addr: freeAddress(t)}
	settings := map[string]string{
		"DATABASE_URL": postgrestest.URL(t), "HTTP_ADDR": s.addr, "METRICS_ADDR": freeAddress(t), "LOG_LEVEL": "warn",
		"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": "1", "RABBITMQ_USER": "nobody", "RABBITMQ_PASS": "nothing", // nobody waits for events here
		"JWT_SECRET": "a secret of these tests, 32 bytes at least", "ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1",
		"RATE_LIMIT_PER_MINUTE": "0", "SHUTDOWN_DELAY": "0s",
	}
	maps.Copy(settings, more)
	cmd := exec.Command(program, "serve")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	background(t, s.addr, cmd)
	return s
}

// post sends JSON and decodes the answer into a map.
func (s *service) post(path, token string, body any) map[string]any {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+path, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer := map[string]any{}
	_ = json.NewDecoder(resp.Body).Decode(&answer) // some answers are empty
	if resp.StatusCode >= 300 {
		s.t.Fatalf("POST %s: %s %v", path, resp.Status, answer)
	}
	return answer
}

// login registers a user and returns its id and an access token.
func (s *service) login() (id, token string) {
	s.t.Helper()
	email := strings.ToLower(s.t.Name()[strings.LastIndex(s.t.Name(), "/")+1:]) + "@example.com"
	id = s.post("/register", "", map[string]any{"email": email, "password": password})["id"].(string)
	return id, s.post("/login", "", map[string]any{"email": email, "password": password})["access_token"].(string)
}
