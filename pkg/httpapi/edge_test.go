package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/httpapi"
)

func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, path := range []string{
		"/user", "/users/", "//users", "/users//roles", "/users//sessions", "/users/me/", "/Users/me", "/users/me/nothing",
		"/users/me%2Froles", "/users%2fme", "/login/", "/favicon.ico", "/metrics",
	} {
		s.call("GET", path, nil).wantProblem(t, 404, "not-found") // before authentication
		s.call("GET", path, nil, as(a.token)).wantProblem(t, 404, "not-found")
	}
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	s := start(t)
	for path, allow := range map[string]string{
		"/login": "OPTIONS, POST", "/users": "GET, HEAD, OPTIONS, POST",
		"/users/me": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT", "/users/me/roles": "OPTIONS, PUT",
	} {
		got := s.call("TRACE", path, nil)
		got.wantProblem(t, 405, "method-not-allowed")
		if got.header.Get("Allow") != allow {
			t.Errorf("%s: Allow is %q, want %q", path, got.header.Get("Allow"), allow)
		}
		if got := s.call("OPTIONS", path, nil).want(t, 204); got.header.Get("Allow") != allow {
			t.Errorf("%s: Allow is %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := start(t)
	for id, sane := range map[string]bool{
		"abc-DEF_1.2": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a b": false, "a\"b": false, "ünï": false,
	} {
		got := s.call("GET", "/healthz", nil, header("X-Request-Id", id)).header.Get("X-Request-Id")
		if (got == id) != sane || got == "" {
			t.Errorf("sent %q, got %q, want it returned: %t", id, got, sane)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	broken := httpapi.Check{Name: "rabbitmq", NonCritical: true, Run: func(context.Context) error { return fmt.Errorf("not connected") }}
	s := start(t, func(set *settings) { set.checks = []httpapi.Check{broken} })
	s.call("GET", "/healthz", nil).want(t, 200)
	got := patiently(func() answer { return s.call("GET", "/readyz", nil) }).want(t, 200)
	if !strings.Contains(string(got.body), `"rabbitmq":{"status":"unavailable","detail":"not connected"}`) {
		t.Errorf("readiness is %s, want rabbitmq unavailable with its detail", got.body)
	}
	s.db.Close(t.Context())
	if !testkit.Await(t.Context(), 5*time.Second, func() bool { return s.call("GET", "/readyz", nil).status == 503 }) {
		t.Fatal("the service is still ready 5 s after the database was closed, want 503")
	}
	s.call("GET", "/healthz", nil).want(t, 200)
}

// TestRequestsFailFastWithoutADatabase stops all traffic with the database. Every response must arrive within 2 seconds.
func TestRequestsFailFastWithoutADatabase(t *testing.T) {
	t.Parallel()
	proxy := newFreezer(t)
	s := start(t, func(set *settings) { set.database = proxy.dsn })
	a := s.register()
	proxy.freeze()
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/users/me", nil},
		{"PATCH", "/users/me", map[string]any{"name": "x"}},
		{"POST", "/login", map[string]any{"email": a.Email, "password": a.password}},
		{"POST", "/register", map[string]any{"email": "b@example.com", "password": goodPassword}},
	} {
		started := time.Now()
		got := s.call(c.method, c.path, c.body, as(a.token))
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("%s %s took %s, want at most 2 s", c.method, c.path, took)
		}
		got.wantProblem(t, 503, "unavailable")
		if got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: the response has no Retry-After, want one", c.method, c.path)
		}
	}
	proxy.thaw()
	if !testkit.Await(t.Context(), 10*time.Second, func() bool { return s.call("GET", "/users/me", nil, as(a.token)).status == 200 }) {
		t.Fatal("no request succeeds in 10 s after the database is reachable again, want 200")
	}
}

// TestSlowClientsAreCutOff sends an incomplete header and an incomplete body. The server must close each connection.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, c := range map[string]struct {
		sent  string
		limit time.Duration
	}{
		"header": {"POST /login HTTP/1.1\r\nHost: x\r\nX-Slow: ", 8 * time.Second},
		"body":   {"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, c.sent)
			_ = conn.SetReadDeadline(time.Now().Add(c.limit))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the connection is still open after %s (error %v), want it closed", c.limit, err)
			}
		})
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status is %d, want 431", resp.StatusCode)
	}
}

// TestLineBreaksWithoutCR checks where a line may end with LF alone. Lines of a header may (RFC 9112 section 2.2). Lines of a chunked body
// must not, because a gateway could disagree about where the body ends.
func TestLineBreaksWithoutCR(t *testing.T) {
	t.Parallel()
	s := start(t)
	const login = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"header":                    {"GET /healthz HTTP/1.1\nHost: x\n\n", 200},
		"CR within a header":        {"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\rX-C: d\r\n\r\n", 400},
		"chunks":                    {login + "2\r\n{}\r\n0\r\n\r\n", 422},
		"chunk's length without CR": {login + "2\n{}\r\n0\r\n\r\n", 400},
		"chunk's data without CR":   {login + "2\r\n{}\n0\r\n\r\n", 400},
		"last chunk without CR":     {login + "2\r\n{}\r\n0\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.WriteString(conn, c.request)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("status is %d, want %d", resp.StatusCode, c.status)
			}
		})
	}
}

// TestLogsHoldNoSecrets sends secrets and personal data in every part of a request and searches the log for them.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	proxy := newFreezer(t)
	s := start(t, func(set *settings) { set.database = proxy.dsn })
	const planted = "planted"
	email, pw := planted+"-email@example.com", planted+" password of many words"
	s.call("POST", "/register", map[string]any{"email": email, "password": pw, "name": planted + " name"}).want(t, 201)
	s.call("POST", "/register", map[string]any{"email": email, "password": pw}).want(t, 409)
	s.call("POST", "/register", map[string]any{"email": planted, "password": planted, "zoneinfo": planted}).want(t, 422)
	s.call("POST", "/register", `{"`+planted+`":1,"metadata":{"`+planted+`":"\u0000"}}`).want(t, 422)
	s.call("POST", "/register", planted).want(t, 400)
	s.call("POST", "/login", map[string]any{"email": email, "password": planted + " wrong password"}).want(t, 401)
	pair := decode[tokens](t, s.call("POST", "/login", map[string]any{"email": email, "password": pw}).want(t, 200))
	s.call("GET", "/users?email="+email, nil, as(pair.AccessToken)).want(t, 403)
	s.call("GET", "/users/"+planted, nil, as(planted)).want(t, 401)
	s.call("GET", "/users/me", nil, as(pair.AccessToken), header("X-Request-Id", planted+" id"), header("User-Agent", planted)).want(t, 200)
	s.call("POST", "/refresh", map[string]any{"refresh_token": planted}).want(t, 401)
	proxy.freeze()
	s.call("POST", "/login", map[string]any{"email": email, "password": pw}).want(t, 503)

	logged := s.logs.String()
	if !strings.Contains(logged, `"route":"/users/{id}"`) {
		t.Fatal("the log has no requests, want some")
	}
	for _, secret := range []string{planted, pair.AccessToken, pair.RefreshToken, strings.Split(pair.AccessToken, ".")[2]} {
		for line := range strings.Lines(logged) {
			if strings.Contains(line, secret) {
				t.Errorf("the log contains %q, want no secrets: %s", secret, line)
			}
		}
	}
}

// TestTooManyRequests checks the 429 response of the operations that have an address quota.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) {
		set.limit, set.proxies = 7, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	a := s.register() // from 127.0.0.1
	from := func(addr string) option { return header("X-Forwarded-For", addr) }
	login := map[string]any{"email": a.Email, "password": a.password}
	for range 7 {
		s.call("POST", "/login", login, from("203.0.113.1")).want(t, 200)
	}
	for _, path := range []string{"/login", "/register", "/refresh"} {
		got := s.call("POST", path, login, from("198.51.100.9, 203.0.113.1"))
		got.wantProblem(t, 429, "too-many-requests")
		wait := got.header.Get("Retry-After")
		for name, want := range map[string]string{
			"RateLimit-Policy": `"address";q=7;w=60`, "RateLimit": `"address";r=0;t=` + wait, "Cache-Control": "no-store",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), want)
			}
		}
		if seconds, err := strconv.Atoi(wait); err != nil || seconds < 1 || seconds > 9 {
			t.Errorf("%s: Retry-After is %q, want 1 to 9 seconds", path, wait)
		}
	}
	s.call("POST", "/login", login, from("203.0.113.2")).want(t, 200)
	s.call("GET", "/users/me", nil, as(a.token), from("203.0.113.1")).want(t, 200)
}
