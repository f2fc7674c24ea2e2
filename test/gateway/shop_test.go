package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"user-service/internal/testkit"
)

const newSecret = "nine blue lanterns hum"

// shop is the sample shop behind a gateway, with TLS.
type shop struct {
	*service
	*edge
	events    *testkit.Buffer // all events, with their tokens
	refreshes *atomic.Int64   // how often the BFF has refreshed a session
}

// inEachShop runs a test in a shop behind each gateway. more are variables of the service's environment.
func inEachShop(t *testing.T, corsOrigin string, test func(*testing.T, *shop), more ...string) {
	t.Parallel()
	one := startService(t, append(more, "TRUSTED_PROXIES=127.0.0.1")...)
	events := followEvents(t, one)
	for name, start := range gateways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shop{service: one.of(t), events: events, refreshes: &atomic.Int64{}}
			s.edge = newEdge(t, s.addr, testkit.FreeAddress(t))
			s.host, s.corsOrigin = "shop.example.com", corsOrigin
			startSample(t, "orders", "-listen", s.app)
			s.startBFF(t, s.bff)
			start(t, s.edge)
			test(t, s)
		})
	}
}

// followEvents returns the events of a service from now on.
func followEvents(t *testing.T, s *service) *testkit.Buffer {
	t.Helper()
	tail := exec.Command(program, "events", "tail", "--show-tokens")
	tail.Env = s.env
	printed := startProcess(t, tail)
	testkit.WaitFor(t, "the queue of events", func() bool { return strings.Contains(printed.String(), "waiting for events") })
	return printed
}

// startBFF starts a backend for the frontend. A proxy counts its refreshes at the user service.
func (s *shop) startBFF(t *testing.T, address string) {
	t.Helper()
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.addr})
	users := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refresh" {
			s.refreshes.Add(1)
		}
		if r.Header.Get("Cookie") != "" {
			t.Errorf("the BFF passes on the cookie to %s", r.URL.Path)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(users.Close)
	startSample(t, "bff", "-listen", address, "-shop", s.origin(), "-users", users.URL, "-api", "http://"+s.internal+"/api")
	testkit.WaitFor(t, "the BFF", func() bool { return accepts(address) })
}

// samples has the programs of the shop, which are built once.
var samples struct {
	once sync.Once
	dir  string
	err  error
}

// startSample runs a program of docs/examples/shop until the test ends.
func startSample(t *testing.T, name string, args ...string) {
	t.Helper()
	samples.once.Do(func() {
		samples.dir = filepath.Dir(program)
		var out []byte
		build := exec.Command("go", "build", "-o", samples.dir, "user-service/docs/examples/shop/...")
		if out, samples.err = build.CombinedOutput(); samples.err != nil {
			samples.err = fmt.Errorf("%w: %s", samples.err, out)
		}
	})
	if samples.err != nil {
		t.Fatal(samples.err)
	}
	cmd := exec.Command(filepath.Join(samples.dir, name), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	startProcess(t, cmd)
}

// mailed waits for the last token of an event type for an email.
func (s *shop) mailed(t *testing.T, eventType, email string) (token string) {
	t.Helper()
	testkit.WaitFor(t, eventType, func() bool {
		for line := range strings.Lines(s.events.String()) {
			var e struct {
				Type string
				Data struct {
					User  struct{ Email string }
					Token string
				}
			}
			if json.Unmarshal([]byte(line), &e) == nil && e.Type == eventType && e.Data.User.Email == email {
				token = e.Data.Token
			}
		}
		return token != ""
	})
	return token
}

// logInAs logs in with the page of the shop.
func (p *tab) logInAs(email, password string) {
	p.t.Helper()
	p.open("/login")
	p.send("/bff/login", "email", email, "password", password)
	p.see("Your orders")
	p.see(email)
}

// waitForExpiry gets a new access token and waits until it has expired. Then all earlier access tokens have expired too.
func (s *shop) waitForExpiry(t *testing.T, user caller) {
	t.Helper()
	token := s.token(user.email)
	testkit.WaitFor(t, "the end of an access token", func() bool {
		status, _ := s.get(t, "http://"+s.addr+"/users/me", token)
		return status == http.StatusUnauthorized
	})
}

// get sends a request with an access token, and returns the response without its body.
func (s *service) get(t *testing.T, address, token string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// refreshStatus sends a refresh token to the service, and returns the status of the response.
func (s *shop) refreshStatus(t *testing.T, token string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"refresh_token": token})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+s.addr+"/refresh", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// verify confirms the email of an account that was created without a verification.
func (s *shop) verify(t *testing.T, user caller) {
	t.Helper()
	send := func(path, body, token string) int {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	requested := send("/email-verification", "", user.token)
	token := s.mailed(t, "user.email_verification_requested", user.email)
	confirmed := send("/email-verification/confirm", `{"token":"`+token+`"}`, user.token)
	if requested != http.StatusAccepted || confirmed != http.StatusNoContent {
		t.Fatalf("the verification gets %d and %d", requested, confirmed)
	}
}
