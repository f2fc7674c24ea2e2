package httpapi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// serveTwo serves at most two connections. The answer to /wait ends when the client is gone or the test ends.
func serveTwo(t *testing.T) (dial func() *client) {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			w.(http.Flusher).Flush()
			select {
			case <-done:
			case <-r.Context().Done():
			}
		}
	})}
	listener := limitConnections(server, inner, 2)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		close(done)
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ends with %v", err)
		}
	})
	return func() *client {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return &client{conn, bufio.NewReader(conn)}
	}
}

type client struct {
	net.Conn
	answers *bufio.Reader
}

// get sends a request and returns the error of reading the head of its answer.
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

func TestAnIdleConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	dial := serveTwo(t)
	first, second := dial(), dial()
	for _, c := range []*client{first, second} {
		if err := c.get("/"); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := dial().get("/"); err != nil {
			t.Fatalf("a new connection gets no answer beside idle ones: %v", err)
		}
	}
	for _, c := range []*client{first, second} {
		if _, err := c.answers.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("a connection that was idle for longest is there: %v", err)
		}
	}
}

func TestNoMoreConnectionsThanTheLimit(t *testing.T) {
	t.Parallel()
	dial := serveTwo(t)
	busy := []*client{dial(), dial()}
	for _, c := range busy {
		if err := c.get("/wait"); err != nil {
			t.Fatal(err)
		}
	}
	third := dial()
	_ = third.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if err := third.get("/"); err == nil {
		t.Fatal("a third connection is served")
	}
	_ = third.SetReadDeadline(time.Now().Add(time.Minute))
	_ = busy[0].Close()
	resp, err := http.ReadResponse(third.answers, nil)
	if err != nil {
		t.Fatalf("no answer after a place was left: %v", err)
	}
	_ = resp.Body.Close()
}
