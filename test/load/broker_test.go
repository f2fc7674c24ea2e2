package load_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/chaos/faultproxy"
)

// stallable returns the settings for a broker behind a proxy.
func stallable(t *testing.T) (proxy *faultproxy.Proxy, settings map[string]string) {
	t.Helper()
	proxy, err := faultproxy.New(net.JoinHostPort(os.Getenv("RABBITMQ_HOST"), os.Getenv("RABBITMQ_PORT")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	host, port, _ := net.SplitHostPort(proxy.Addr())
	return proxy, map[string]string{"RABBITMQ_HOST": host, "RABBITMQ_PORT": port}
}

// TestAStalledBrokerDelaysNoRequest sends each kind of request that queues an event, while the broker is stalled. All requests must
// succeed, and the events must be published later. BenchmarkStalledBroker measures the speed.
func TestAStalledBrokerDelaysNoRequest(t *testing.T) { //nolint:paralleltest // it measures time
	proxy, settings := stallable(t)
	dsn := postgrestest.URL(t)
	s := newService(t, dsn, dsn, settings)
	people := s.accounts(2)
	if !testkit.Await(t.Context(), testkit.Timeout, func() bool { return s.count(`SELECT count(*) FROM outbox`) == 0 }) {
		t.Fatal("events are not published before the stall")
	}
	proxy.Stall()
	machine := s.watchMachine()
	var answers []answer
	a, other := people[0], people[1]
	email := fmt.Sprintf(`{"email": %q}`, a.email)
	newPassword := `{"current_password": "` + password + `", "new_password": "nine violet anchors drift"}`
	for _, request := range []struct {
		method, path, token, body string
		status                    int
	}{
		{"POST", "/register", "", `{"email": "new@example.com", "password": "` + password + `"}`, http.StatusCreated},
		{"POST", "/login", "", fmt.Sprintf(`{"email": %q, "password": %q}`, a.email, password), http.StatusOK},
		{"PATCH", "/users/me", a.token, `{"name": "Ada"}`, http.StatusOK},
		{"POST", "/password-reset", "", email, http.StatusAccepted},
		{"POST", "/email-verification", a.token, "", http.StatusAccepted},
		{"PUT", "/users/me/password", a.token, newPassword, http.StatusOK},
		{"DELETE", "/users/me", other.token, "", http.StatusNoContent},
	} {
		for range 3 { // the machine may be busy
			got := s.call(request.method, request.path, request.token, request.body)
			if answers = append(answers, got); got.status == request.status {
				break
			} else if got.status != http.StatusServiceUnavailable {
				t.Errorf("%s %s gets %d: %s", request.method, request.path, got.status, got.body)
			}
		}
	}
	if waiting := s.count(`SELECT count(*) FROM outbox`); waiting < 6 {
		t.Errorf("%d events wait: the broker was not stalled", waiting)
	}
	if !testkit.Await(t.Context(), testkit.Timeout, s.IsReady) { // on a busy machine, one check may take too long
		t.Error("the service does not become ready while the broker is stalled")
	}
	proxy.Resume()
	busy := machine()
	for _, a := range answers {
		a.check(t, busy)
	}
	if !testkit.Await(t.Context(), testkit.Timeout, func() bool { return s.count(`SELECT count(*) FROM outbox`) == 0 }) {
		t.Error("events are not published after the stall")
	}
}

// TestRequestsDoNotDependOnTheBroker checks imports: the packages of requests, of account rules and of the store do not import the
// broker's packages.
func TestRequestsDoNotDependOnTheBroker(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "user-service/pkg/httpapi", "user-service/pkg/user",
		"user-service/pkg/postgres").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if name == "user-service/pkg/rabbitmq" || strings.Contains(name, "amqp") {
			t.Errorf("the packages import %s, want no package of the broker", name)
		}
	}
	if !strings.Contains(string(out), "user-service/pkg/postgres") {
		t.Error("go list did not list these packages")
	}
}
