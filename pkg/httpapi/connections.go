package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxConnections = 10_000 // by the file descriptors and the memory that they take
	minConnections = 512    // however little memory there is
	// connectionBytes is how much memory a connection takes whose request has a token and 4 KiB of a body, and waits.
	connectionBytes = 64 << 10
	// serviceBytes is how much memory the rest of the service takes.
	serviceBytes = 64 << 20
	// socketBytes is the size of each of a connection's buffers in the kernel, which count as memory of a container. Linux doubles it.
	socketBytes = 16 << 10
)

// LimitConnections bounds how many connections server has from listener: 10,000, or as many as fit into memory bytes.
// At the bound, the connection that has waited for its client for longest is closed for the next one. It may be idle, or
// in the middle of a request that the client sends slowly. While no connection waits for its client, new clients wait in the
// backlog of the system. LimitConnections must be called before the server serves. It sets ConnState, ConnContext and
// DisableGeneralOptionsHandler, and wraps Handler.
func LimitConnections(server *http.Server, listener net.Listener, memory int64) net.Listener {
	return limitConnections(server, listener, connectionsWithin(memory))
}

func connectionsWithin(memory int64) int {
	return int(min(max((memory-serviceBytes)/connectionBytes, minConnections), maxConnections))
}

func limitConnections(server *http.Server, listener net.Listener, most int) *limitedListener {
	waiting, _ := simplelru.NewLRU[net.Conn, struct{}](most, nil) // it fails for a size of 0 only
	l := &limitedListener{
		Listener: listener, slots: make(chan struct{}, most), closed: make(chan struct{}), waiting: waiting,
		answers: newAnswers(maxAnswers),
	}
	server.ConnState = l.changed
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connection{l, conn})
	}
	server.DisableGeneralOptionsHandler = true // it would keep a trailer
	server.Handler = trackHandler(withoutTrailer(server.Handler))
	return l
}

type connectionKey struct{}

// connection is that of a request.
type connection struct {
	listener *limitedListener
	conn     net.Conn
}

// trackHandler has the connections of requests wait for their clients but while a handler works: net/http answers some requests without one,
// and reads what the handler has left of a body.
func trackHandler(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(connection); ok {
			c.listener.stopWaiting(c.conn)
			defer c.listener.wait(c.conn)
		}
		handler.ServeHTTP(w, r)
	})
}

// waitForClient notes that the connection of a request waits for its client until done is called.
func waitForClient(ctx context.Context) (done func()) {
	c, ok := ctx.Value(connectionKey{}).(connection)
	if !ok {
		return func() {}
	}
	_ = c.listener.wait(c.conn)
	return func() { c.listener.stopWaiting(c.conn) }
}

// limitedListener is a net.Listener whose connections each hold a slot.
type limitedListener struct {
	net.Listener
	slots  chan struct{} // holds one for each connection
	closed chan struct{}
	once   sync.Once

	answers *answers // that wait for their clients

	mu      sync.Mutex
	waiting *simplelru.LRU[net.Conn, struct{}] // connections that wait for their client; the first one is the oldest
}

// Accept implements net.Listener. One connection more than there are slots is open while it waits for its slot.
func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.acquire() {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if socket, ok := conn.(*net.TCPConn); ok {
		_ = socket.SetReadBuffer(socketBytes)
		_ = socket.SetWriteBuffer(socketBytes)
	}
	return &limitedConn{Conn: conn, listener: l, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// retryInterval is how often Accept looks for a connection to close while all are busy.
const retryInterval = 10 * time.Millisecond

// acquire takes a slot. It returns false when the listener is closed.
func (l *limitedListener) acquire() bool {
	for {
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		l.closeOldest()
		select {
		case l.slots <- struct{}{}:
			return true
		case <-l.closed:
			return false
		case <-time.After(retryInterval):
		}
	}
}

// closeOldest closes the connection that has waited for its client for longest.
func (l *limitedListener) closeOldest() {
	l.mu.Lock()
	conn, _, ok := l.waiting.RemoveOldest()
	l.mu.Unlock()
	if ok {
		abort(conn)
	}
}

// abort closes a connection and discards what it has not sent. Otherwise the kernel would keep that for minutes.
func abort(conn net.Conn) {
	if limited, ok := conn.(*limitedConn); ok {
		limited.discard()
	}
	_ = conn.Close()
}

// changed is the ConnState of the server.
func (l *limitedListener) changed(conn net.Conn, state http.ConnState) {
	if limited, ok := conn.(*limitedConn); ok {
		limited.changed(state)
	}
	l.stopWaiting(conn)
	if state == http.StateNew || state == http.StateActive || state == http.StateIdle { // from now on
		_ = l.wait(conn)
	}
}

// wait notes that a connection waits for its client. It reports whether it did not do so before.
func (l *limitedListener) wait(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limited, ok := conn.(*limitedConn); ok && limited.closed || l.waiting.Contains(conn) {
		return false
	}
	l.waiting.Add(conn, struct{}{})
	return true
}

// close notes that a connection is closed: it must not take the place of one that waits.
func (l *limitedListener) close(conn *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn.closed = true
	l.waiting.Remove(conn)
}

func (l *limitedListener) stopWaiting(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Remove(conn)
}

// changed is called between the requests of the connection.
func (c *limitedConn) changed(state http.ConnState) {
	if state == http.StateIdle {
		c.header = headerLines{}
	}
	c.active.Store(state == http.StateActive)
}

// limitedConn releases its slot when it is closed.
type limitedConn struct {
	net.Conn
	listener *limitedListener
	release  func()
	closed   bool // under the mutex of the listener

	active atomic.Bool // a request whose header has been read is being answered
	header headerLines // of the next request
}

// Write implements net.Conn. It waits for a client that does not read what it has received.
func (c *limitedConn) Write(p []byte) (int, error) {
	if c.header.full {
		return 0, errHeaderLines
	}
	if c.listener.wait(c) {
		defer c.listener.stopWaiting(c)
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.discard()
	}
	return n, err
}

// discard makes Close reset the connection.
func (c *limitedConn) discard() {
	if socket, ok := c.Conn.(*net.TCPConn); ok {
		_ = socket.SetLinger(0)
	}
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	c.listener.close(c)
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the last response is not lost: it waits for half a second then.
func (c *limitedConn) CloseWrite() error {
	_ = c.listener.wait(c)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
