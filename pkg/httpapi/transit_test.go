package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/httpapi"
)

// rawCall is the connection of a request whose body may be incomplete.
type rawCall struct {
	net.Conn
	t *testing.T
}

// send sends the header of a request with a Content-Length of length, and the beginning of the body.
func (s *server) send(line, headers string, length int, body string) rawCall {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	const format = "%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
	if _, err = fmt.Fprintf(conn, format, line, length, headers, body); err != nil {
		s.t.Fatal(err)
	}
	return rawCall{conn, s.t}
}

// status returns the status of the first response.
func (c rawCall) status() int {
	c.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestRequestsAreRefusedBeforeTheBody checks the responses that do not depend on the body. The requests never send a body.
func TestRequestsAreRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) {
		set.limit, set.account = 2, 4
	})
	a, b := s.with("user"), s.with("user") // their logins use up the quota of the address
	for range 4 {
		s.call("PATCH", "/users/me", `{}`, as(a.token)).want(t, 200)
	}
	bearer := func(token string) string { return "Authorization: Bearer " + token + "\r\n" }
	for line, test := range map[string]struct {
		headers string
		length  int
		status  int
	}{
		"PATCH /users/me":               {"", 10, 401},
		"PUT /users/me":                 {bearer("x"), 10, 401},
		"PUT /users/not-an-id":          {bearer(b.token), 10, 400},
		"PUT /users/me/roles":           {bearer(b.token), 10, 403},
		"DELETE /users/me":              {bearer(a.token), 10, 429}, // session quota, before a query
		"PATCH /users/" + a.ID.String(): {bearer(a.token), 10, 429}, // account quota
		"POST /login":                   {"", 10, 429},              // address quota
		"POST /nothing":                 {"", 10, 404},
		"POST /users/me":                {"", 10, 405},
		"POST /refresh":                 {"", 4097, 429}, // a body with a token is shorter
		"POST /password-reset/confirm":  {"", 4097, 429},
		"DELETE /users/me/sessions":     {"", 10, 401},
		"PUT /users/" + b.ID.String():   {bearer(b.token), 70000, 413},
		"PATCH /users/" + b.ID.String(): {bearer(b.token) + "Content-Type: text/plain\r\n", 10, 415},
		"POST /verify":                  {bearer(a.token), 10, 204},
	} {
		if got := s.send(line, test.headers, test.length, "").status(); got != test.status {
			t.Errorf("%s: status is %d, want %d", line, got, test.status)
		}
		expected := s.send(line, test.headers+"Expect: 100-continue\r\n", test.length, "").status()
		if expected != test.status {
			t.Errorf("%s with Expect: 100-continue: status is %d, want %d", line, expected, test.status)
		}
	}
	if got := s.send("DELETE /users/me/sessions", bearer(a.token), 10, "").status(); got != 204 {
		t.Errorf("DELETE /users/me/sessions without its body: status is %d, want 204", got)
	}
}

// TestARefusalKeepsTheConnection checks that the connection stays open after a refusal if the client has sent the whole body.
func TestARefusalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	conn := s.send("PATCH /users/me", "", 15, `{"name": "Ada"}`)
	answers := bufio.NewReader(conn)
	for range 3 {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 401 || resp.Close {
			t.Fatalf("status is %d and the connection is closed: %t, want 401 and false", resp.StatusCode, resp.Close)
		}
		if _, err := io.WriteString(conn, "PATCH /users/me HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpectContinue checks that a request with Expect: 100-continue gets a 100 if the service wants the body (RFC 9110, 10.1.1).
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := start(t)
	conn := s.send("POST /login", "Expect: 100-continue\r\n", 2, "")
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("the response is %q (error %v), want 100 Continue", line, err)
	}
	_, _ = answers.ReadString('\n')
	_, _ = io.WriteString(conn, "{}")
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 422 {
		t.Errorf("status is %d, want 422", resp.StatusCode)
	}
}

// TestLargeBodiesDoNotBlockLogins opens slow requests until their bodies use up the limit of bytes. Requests with small bodies must still
// be accepted.
func TestLargeBodiesDoNotBlockLogins(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	var slow []rawCall
	for s.api.BodyBytes()+60<<10 <= httpapi.MaxBodies {
		slow = append(slow, s.send("POST /login", "", 64<<10, strings.Repeat("x", 64<<10-1)))
		want := int64(len(slow)) * 60 << 10
		testkit.WaitFor(t, fmt.Sprintf("%d counted bytes", want), func() bool { return s.api.BodyBytes() == want })
	}
	large := fmt.Sprintf(`{"email":%q,"password":%q}`, a.Email, a.password) + strings.Repeat(" ", 63<<10)
	refused := s.call("POST", "/login", large)
	refused.wantProblem(t, 503, "overloaded")
	if refused.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q, want 1", refused.header.Get("Retry-After"))
	}
	s.login(a)
	s.call("PATCH", "/users/me", `{"name":"Ada"}`, as(a.token)).want(t, 200)
	for _, conn := range slow {
		_ = conn.Close()
	}
	testkit.WaitFor(t, "no counted bytes", func() bool { return s.api.BodyBytes() == 0 })
	s.call("POST", "/login", large).want(t, 200)
}
