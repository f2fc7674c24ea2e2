package httpapi

import (
	"context"
	"net"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxUnreadBytes limits the total bytes of the responses that clients are reading. Responses up to smallResponse do not count.
	maxUnreadBytes = 16 << 20
	// smallResponse is the size in bytes up to which a response is part of its connection's memory.
	smallResponse = 8 << 10
)

// responses limits the bytes of large responses that clients have not read yet. It is safe for concurrent use.
type responses struct {
	limit int

	mu      sync.Mutex
	bytes   int
	waiting *simplelru.LRU[net.Conn, int] // the bytes of each connection; the longest wait comes first
}

func newResponses(limit int) *responses {
	waiting, _ := simplelru.NewLRU[net.Conn, int](limit/smallResponse+1, nil) // fails only for size 0
	return &responses{limit: limit, waiting: waiting}
}

// add records that conn waits for its client to read n bytes. While the total exceeds the limit, add closes the connection with the
// longest wait.
func (a *responses) add(conn net.Conn, n int) {
	var closing []net.Conn
	a.mu.Lock()
	a.waiting.Add(conn, n)
	for a.bytes += n; a.bytes > a.limit && a.waiting.Len() > 1; {
		oldest, bytes, _ := a.waiting.RemoveOldest()
		a.bytes -= bytes
		closing = append(closing, oldest)
	}
	a.mu.Unlock()
	for _, conn := range closing {
		abort(conn)
	}
}

func (a *responses) remove(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes, ok := a.waiting.Peek(conn); ok {
		a.bytes -= bytes
		a.waiting.Remove(conn)
	}
}

// trackResponse counts a response of n bytes on the connection of a request, until done is called.
func trackResponse(ctx context.Context, n int) (done func()) {
	c, ok := ctx.Value(connectionKey{}).(connection)
	if !ok || n <= smallResponse {
		return func() {}
	}
	c.listener.responses.add(c.conn, n)
	return func() { c.listener.responses.remove(c.conn) }
}
