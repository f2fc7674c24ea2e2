package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// acceptCount is a listener that counts the connections it has accepted.
type acceptCount struct {
	net.Listener
	accepted atomic.Int64
}

// Accept implements net.Listener.
func (l *acceptCount) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

// two is a server with a small limit of connections, usually two.
type two struct {
	t     *testing.T
	inner *acceptCount
	outer *limitedListener
	idled *atomic.Int64 // how many times a connection has become idle
}

// serveTwo serves at most two connections. The response to /wait and OPTIONS * ends when the client disconnects or the test ends.
func serveTwo(t *testing.T) (s two, dial func() *client) {
	t.Helper()
	return serveMost(t, 2)
}

// serveMost serves at most the given number of connections.
func serveMost(t *testing.T, most int) (s two, dial func() *client) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.inner = t, &acceptCount{Listener: listener}
	done := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 64<<20))
		}
		if r.URL.Path == "/answer" {
			_, _ = (&statusRecorder{ResponseWriter: w, ctx: r.Context()}).Write(make([]byte, maxUnreadBytes/2))
		}
		if r.URL.Path == "/body" {
			defer waitForClient(r.Context())()
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if r.URL.Path == "/wait" || r.URL.Path == "*" {
			_, _ = io.Copy(io.Discard, r.Body)
			w.(http.Flusher).Flush()
			select {
			case <-done:
			case <-r.Context().Done():
			}
		}
	})}
	s.outer, s.idled = limitConnections(server, s.inner, most), new(atomic.Int64)
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		s.outer.stateChanged(conn, state)
		if state == http.StateIdle {
			s.idled.Add(1)
		}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.outer) }()
	t.Cleanup(func() {
		close(done)
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ends with %v, want %v", err, http.ErrServerClosed)
		}
	})
	return s, func() *client {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return &client{conn, bufio.NewReader(conn)}
	}
}

// waitUntilIdle waits until connections have become idle the given number of times, because a client gets its response before its
// connection is idle.
func (s two) waitUntilIdle(times int64) {
	s.t.Helper()
	testkit.WaitFor(s.t, fmt.Sprintf("%d idle connections", times), func() bool { return s.idled.Load() == times })
}

// waitUntilWritten waits until no connection waits for its client to accept data. A client may read the header of a response before the
// server's call to Write has ended.
func (s two) waitUntilWritten() {
	s.t.Helper()
	testkit.WaitFor(s.t, "connections that do not wait", func() bool {
		s.outer.mu.Lock()
		defer s.outer.mu.Unlock()
		return s.outer.waiting.Len() == 0
	})
}

type client struct {
	net.Conn
	answers *bufio.Reader
}

// get sends a request and returns the error of reading the header of its response.
func (c *client) get(path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.answers, nil)
	if err == nil && path != "/wait" {
		err = resp.Body.Close()
	}
	return err
}

// TestIdleConnectionsAreClosedAtTheLimit opens connections above the limit while the others are idle. The connection that has been idle
// longest must be closed.
func TestIdleConnectionsAreClosedAtTheLimit(t *testing.T) {
	t.Parallel()
	s, dial := serveTwo(t)
	first, second := dial(), dial()
	for _, c := range []*client{first, second} {
		if err := c.get("/"); err != nil {
			t.Fatal(err)
		}
	}
	s.waitUntilIdle(2)
	for n := range int64(3) {
		if err := dial().get("/"); err != nil {
			t.Fatalf("a new connection gets %v while the others are idle, want a response", err)
		}
		s.waitUntilIdle(3 + n)
	}
	for _, c := range []*client{first, second} {
		if _, err := c.answers.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading from one of the longest idle connections returns %v, want it closed", err)
		}
	}
}

func TestNoMoreConnectionsThanTheLimit(t *testing.T) {
	t.Parallel()
	s, dial := serveTwo(t)
	busy := []*client{dial(), dial()}
	for _, c := range busy {
		if err := c.get("/wait"); err != nil {
			t.Fatal(err)
		}
	}
	s.waitUntilWritten()
	third := dial()
	answered := make(chan error, 1)
	go func() { answered <- third.get("/") }()
	select {
	case err := <-answered:
		t.Fatalf("a third connection is served with two busy ones (error %v), want it to wait", err)
	case <-time.After(10 * retryInterval): //nolint:forbidigo // in this time the server looks for a free slot ten times
	}
	if n := s.inner.accepted.Load(); n != 3 { // the third connection waits for a slot
		t.Fatalf("%d connections are accepted, want 3", n)
	}
	_ = busy[0].Close()
	if err := <-answered; err != nil {
		t.Fatalf("the third connection gets %v after a slot was released, want a response", err)
	}
}

// TestSlowClientsAreClosedAtTheLimit opens connections above the limit while the server waits for slow clients. The connection that has
// waited longest must be closed.
func TestSlowClientsAreClosedAtTheLimit(t *testing.T) {
	t.Parallel()
	const part = "Host: x\r\nContent-Length: 10\r\n\r\n12345"
	for name, c := range map[string]struct{ slow, answer string }{
		"sends nothing":                        {"", ""},
		"sends a part of a header":             {"GET / HTTP/1.1\r\nHost:", ""},
		"sends a part of a body":               {"POST /body HTTP/1.1\r\nExpect: 100-continue\r\n" + part, "100 Continue"},
		"sends a part of an unread body":       {"POST / HTTP/1.1\r\n" + part, ""},
		"sends an expectation that is not met": {"POST / HTTP/1.1\r\nExpect: more\r\n" + part, "417 Expectation Failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dial := serveTwo(t)
			first := dial()
			if _, err := io.WriteString(first, c.slow); err != nil {
				t.Fatal(err)
			}
			if c.answer != "" { // the server then waits for the rest of the body
				if line, err := first.answers.ReadString('\n'); err != nil || !strings.Contains(line, c.answer) {
					t.Fatalf("the response is %q (error %v), want %s", line, err, c.answer)
				}
			}
			testkit.WaitFor(t, "the slow connection", func() bool { return s.inner.accepted.Load() >= 1 })
			if err := dial().get("/wait"); err != nil {
				t.Fatal(err)
			}
			if err := dial().get("/"); err != nil {
				t.Fatalf("a new connection gets %v next to a slow one, want a response", err)
			}
			if _, err := io.Copy(io.Discard, first.answers); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the slow connection is still open, want it closed")
			}
		})
	}
}

// TestClientsThatDoNotReadAreClosedAtTheLimit opens a connection above the limit while the server waits for clients to read responses. The
// new connection must be served.
func TestClientsThatDoNotReadAreClosedAtTheLimit(t *testing.T) {
	t.Parallel()
	s, dial := serveTwo(t)
	for range 2 {
		if _, err := io.WriteString(dial(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(t, "two connections that wait for their clients", func() bool { return s.waitingForClients() == 2 })
	if err := dial().get("/"); err != nil {
		t.Fatalf("a new connection gets %v, want a response", err)
	}
}

// waitingForClients returns the number of connections that wait for their client.
func (s two) waitingForClients() int {
	s.outer.mu.Lock()
	defer s.outer.mu.Unlock()
	return s.outer.waiting.Len()
}

// TestManyHeaderFieldsAreRefused checks the limit of header fields. Even an empty field uses memory.
func TestManyHeaderFieldsAreRefused(t *testing.T) {
	t.Parallel()
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			_, _ = fmt.Fprintf(&b, "x%d:\r\n", i)
		}
		return b.String()
	}
	const get, post = "GET / HTTP/1.1\r\nHost: x\r\n", "POST /body HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
		next    string // if the status is 200
	}{
		"many":                    {get + fields(maxHeaderLines) + "\r\n", 431, ""},
		"many, without CR":        {strings.ReplaceAll(get+fields(maxHeaderLines), "\r", "") + "\n", 431, ""},
		"many, not terminated":    {get + fields(3000), 431, ""},
		"a hundred":               {get + fields(100) + "\r\n", 200, get + fields(500)},
		"a body of many lines":    {post + "Content-Length: 1000\r\n\r\n" + strings.Repeat("\n", 1000), 200, get + fields(500)},
		"many in a later request": {get + "\r\n", 200, get + fields(500)},
		"many after empty lines":  {post + "Content-Length: 0\r\n\r\n", 200, "\r\n\n" + get + fields(2000) + "\r\n"},
		"many in a pipeline":      {get + "\r\n" + get + fields(500) + "\r\n", 200, ""},
		"many after a body":       {post + "Content-Length: 1\r\n\r\nx" + get + fields(500) + "\r\n", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, dial := serveTwo(t)
			conn := dial()
			status := func(request string) int {
				_, _ = io.WriteString(conn, request) // the server may have closed the connection
				resp, err := http.ReadResponse(conn.answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				return resp.StatusCode
			}
			if got := status(c.request); got != c.status {
				t.Errorf("status is %d, want %d", got, c.status)
			}
			if c.status == 200 {
				if got := status(c.next); got != 431 {
					t.Errorf("status of the next request is %d, want 431", got)
				}
			}
			if more, err := io.ReadAll(conn.answers); len(more) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the refusal the server sends %q (error %v), want a closed connection", more, err)
			}
		})
	}
}

// TestAClosedConnectionIsNotWaiting checks that a closed connection does not replace another one in the list of waiting connections.
func TestAClosedConnectionIsNotWaiting(t *testing.T) {
	t.Parallel()
	l := limitConnections(&http.Server{ReadHeaderTimeout: time.Minute}, nil, 2)
	conn := func() *limitedConn {
		one, other := net.Pipe()
		t.Cleanup(func() { _ = other.Close() })
		return &limitedConn{Conn: one, listener: l, release: func() {}}
	}
	a, b, closed := conn(), conn(), conn()
	l.wait(a)
	l.wait(b)
	_ = closed.Close()
	if l.wait(closed) || !l.waiting.Contains(a) || !l.waiting.Contains(b) {
		t.Error("a closed connection replaces an open one in the list, want only the two open connections")
	}
}

func TestConnectionsWithinMemory(t *testing.T) {
	t.Parallel()
	for memory, want := range map[int64]int{
		math.MaxInt64:                       maxConnections, // no memory limit
		1 << 30:                             maxConnections,
		serviceBytes + 1000*connectionBytes: 1000,
		serviceBytes / 2:                    minConnections,
	} {
		if got := connectionsWithin(memory); got != want {
			t.Errorf("%d bytes allow %d connections, want %d", memory, got, want)
		}
	}
}
