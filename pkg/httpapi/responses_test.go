package httpapi

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// largeResponse requests a response of half the bound, and returns its unread body.
func (c *client) largeResponse(t *testing.T) io.Reader {
	t.Helper()
	if _, err := io.WriteString(c, "GET /answer HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.Body
}

// TestResponsesThatNobodyReadsAreBounded requests three responses of half the bound each. The client that has waited longest loses its
// connection. The other clients get their whole responses.
func TestResponsesThatNobodyReadsAreBounded(t *testing.T) {
	t.Parallel()
	_, dial := serveMost(t, 10)
	var bodies []io.Reader
	for range 3 {
		bodies = append(bodies, dial().largeResponse(t))
	}
	for i, body := range bodies {
		n, err := io.Copy(io.Discard, body)
		if lost := err != nil; lost != (i == 0) || !lost && n != maxUnreadBytes/2 {
			t.Errorf("client %d reads %d bytes and gets the error %v, want an error only for client 0", i, n, err)
		}
	}
}

func TestResponsesAreCountedUntilTheyAreRead(t *testing.T) {
	t.Parallel()
	a := newResponses(10 * smallResponse)
	conns := make([]net.Conn, 4)
	for i := range conns {
		conns[i], _ = net.Pipe()
		a.add(conns[i], 4*smallResponse)
		if a.bytes > 8*smallResponse {
			t.Errorf("after %d responses %d bytes are counted, want at most %d", i+1, a.bytes, 8*smallResponse)
		}
	}
	if oldest, _, _ := a.waiting.GetOldest(); oldest != conns[2] {
		t.Error("another connection has waited longest, want the third")
	}
	for _, conn := range conns {
		a.remove(conn)
	}
	if a.bytes != 0 || a.waiting.Len() != 0 {
		t.Errorf("%d responses with %d bytes are left, want none", a.waiting.Len(), a.bytes)
	}
	a.add(conns[3], 11*smallResponse)
	if _, ok := a.waiting.Get(conns[3]); !ok {
		t.Error("a single response above the bound is not accepted, want it accepted")
	}
}
