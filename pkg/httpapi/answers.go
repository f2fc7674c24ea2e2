package httpapi

import (
	"context"
	"net"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxAnswers is how many bytes the answers of more than smallAnswer may have in all while their clients read them.
	maxAnswers = 16 << 20
	// smallAnswer is how many bytes of an answer count as memory of its connection.
	smallAnswer = 8 << 10
)

// answers bounds the bytes of large answers that wait for their clients. It is safe for concurrent use.
type answers struct {
	most int

	mu      sync.Mutex
	bytes   int
	waiting *simplelru.LRU[net.Conn, int] // the bytes for each connection; the first one has waited for longest
}

func newAnswers(most int) *answers {
	waiting, _ := simplelru.NewLRU[net.Conn, int](most/smallAnswer+1, nil) // it fails for a size of 0 only
	return &answers{most: most, waiting: waiting}
}

// add notes that conn waits for its client to read n bytes. While there are too many bytes in all, the connection that has waited
// for longest is closed.
func (a *answers) add(conn net.Conn, n int) {
	var closing []net.Conn
	a.mu.Lock()
	a.waiting.Add(conn, n)
	for a.bytes += n; a.bytes > a.most && a.waiting.Len() > 1; {
		oldest, bytes, _ := a.waiting.RemoveOldest()
		a.bytes -= bytes
		closing = append(closing, oldest)
	}
	a.mu.Unlock()
	for _, conn := range closing {
		abort(conn)
	}
}

func (a *answers) remove(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes, ok := a.waiting.Peek(conn); ok {
		a.bytes -= bytes
		a.waiting.Remove(conn)
	}
}

// holdAnswer counts an answer of n bytes on the connection of a request until done is called.
func holdAnswer(ctx context.Context, n int) (done func()) {
	c, ok := ctx.Value(connectionKey{}).(connection)
	if !ok || n <= smallAnswer {
		return func() {}
	}
	c.listener.answers.add(c.conn, n)
	return func() { c.listener.answers.remove(c.conn) }
}
