package httpapi_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"user-service/pkg/postgres/postgrestest"
)

// counter is a proxy between the service and its database that counts queries.
type counter struct {
	dsn     string
	queries atomic.Int64
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := u.Host
	u.Host = listener.Addr().String()
	c := &counter{dsn: u.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client, server)
		}
	}()
	return c
}

func (c *counter) serve(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	go func() { _, _ = io.Copy(client, upstream) }()
	_ = c.count(client, upstream)
}

// count forwards the client's messages and counts the queries. The first message has no type. Each other message begins with its type and
// its length (PostgreSQL documentation, Frontend/Backend Protocol, Message Formats).
func (c *counter) count(client io.Reader, upstream io.Writer) error {
	for typed := 0; ; typed = 1 {
		head := make([]byte, typed+4)
		if _, err := io.ReadFull(client, head); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[typed:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return err
		}
		ping := strings.HasPrefix(string(body), "-- ping") // the pool's check of an idle connection
		if typed == 1 && (head[0] == 'E' || head[0] == 'Q' && !ping) {
			c.queries.Add(1)
		}
		if _, err := upstream.Write(append(head, body...)); err != nil {
			return err
		}
	}
}

// TestOneQueryReadsTheCallersAccount checks that immediate revocation needs no additional query. One query returns the caller, the state of
// the session, the permissions and the account.
func TestOneQueryReadsTheCallersAccount(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	s := start(t, func(set *settings) { set.database = c.dsn })
	a := s.register()
	for path, want := range map[string]int64{"/users/me": 1, "/verify": 1, a.path(): 1, "/users/me/sessions": 2} {
		before := c.queries.Load()
		if got := s.call("GET", path, nil, as(a.token)); got.status != 200 && got.status != 204 {
			t.Fatalf("GET %s: status is %d, want 200 or 204", path, got.status)
		}
		if n := c.queries.Load() - before; n != want {
			t.Errorf("GET %s took %d queries, want %d", path, n, want)
		}
	}
}
