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
	maxConnections = 10_000 // because of file descriptors and memory
	minConnections = 512    // even if there is little memory
	// connectionBytes is the memory of a connection with a waiting request that has a token and a body of 4 KiB.
	connectionBytes = 64 << 10
	// serviceBytes is the memory of the rest of the service.
	serviceBytes = 64 << 20
	// socketBytes is the size of each kernel buffer of a connection. Linux doubles this size, and counts the buffers as memory of the
	// container.
	socketBytes = 16 << 10
)

// LimitConnections limits the number of connections that server accepts from listener. The limit is the number that fits into memory, which
// is in bytes, but at least 512 and at most 10,000.
//
// At the limit, a new connection closes the connection that has waited for its client for the longest time. Such a connection is idle,
// or its client sends or reads slowly. If no connection waits for its client, new clients wait in the backlog of the system.
//
// Call LimitConnections before the server serves. It sets ConnState, ConnContext and DisableGeneralOptionsHandler, and wraps Handler.
func LimitConnections(server *http.Server, listener net.Listener, memory int64) net.Listener {
	return limitConnections(server, listener, connectionsWithin(memory))
}

func connectionsWithin(memory int64) int {
	return int(min(max((memory-serviceBytes)/connectionBytes, minConnections), maxConnections))
}

func limitConnections(server *http.Server, listener net.Listener, limit int) *limitedListener {
	waiting, _ := simplelru.NewLRU[net.Conn, struct{}](limit, nil) // fails only for size 0
	l := &limitedListener{
		Listener: listener, slots: make(chan struct{}, limit), closed: make(chan struct{}), waiting: waiting,
		responses: newResponses(maxUnreadBytes),
	}
	server.ConnState = l.stateChanged
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connection{l, conn})
	}
	server.DisableGeneralOptionsHandler = true // net/http's handler of OPTIONS * would keep a trailer in memory
	server.Handler = trackHandler(withoutTrailer(server.Handler))
	return l
}

type connectionKey struct{}

// connection is the connection of a request.
type connection struct {
	listener *limitedListener
	conn     net.Conn
}

// trackHandler marks the connection of a request as busy while the handler runs. Outside the handler, the connection counts
// as waiting for its client. This includes the time in which net/http responds without a handler, or discards the rest of a body.
func trackHandler(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(connection); ok {
			c.listener.stopWaiting(c.conn)
			defer c.listener.wait(c.conn)
		}
		handler.ServeHTTP(w, r)
	})
}

// waitForClient marks the connection of a request as waiting for its client, until done is called.
func waitForClient(ctx context.Context) (done func()) {
	c, ok := ctx.Value(connectionKey{}).(connection)
	if !ok {
		return func() {}
	}
	_ = c.listener.wait(c.conn)
	return func() { c.listener.stopWaiting(c.conn) }
}

// limitedListener is a net.Listener with a slot for each connection.
type limitedListener struct {
	net.Listener
	slots  chan struct{} // one element for each connection
	closed chan struct{}
	once   sync.Once

	responses *responses

	mu      sync.Mutex
	waiting *simplelru.LRU[net.Conn, struct{}] // connections that wait for their clients, the oldest first
}

// Accept implements net.Listener. One more connection than the limit is open while Accept waits for a slot.
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

// retryInterval is the time after which Accept looks again for a connection to close, while all connections are busy.
const retryInterval = 10 * time.Millisecond

// acquire waits for a slot. It returns false when the listener is closed.
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

// closeOldest closes the connection that has waited for its client for the longest time.
func (l *limitedListener) closeOldest() {
	l.mu.Lock()
	conn, _, ok := l.waiting.RemoveOldest()
	l.mu.Unlock()
	if ok {
		abort(conn)
	}
}

// abort closes a connection and discards its unsent data. Otherwise the kernel would keep the data for minutes.
func abort(conn net.Conn) {
	if limited, ok := conn.(*limitedConn); ok {
		limited.discard()
	}
	_ = conn.Close()
}

// stateChanged is the ConnState of the server.
func (l *limitedListener) stateChanged(conn net.Conn, state http.ConnState) {
	if limited, ok := conn.(*limitedConn); ok {
		limited.stateChanged(state)
	}
	l.stopWaiting(conn)
	if state == http.StateNew || state == http.StateActive || state == http.StateIdle {
		_ = l.wait(conn)
	}
}

// wait marks a connection as waiting for its client. It returns false if the connection is closed or was marked before.
func (l *limitedListener) wait(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limited, ok := conn.(*limitedConn); ok && limited.closed || l.waiting.Contains(conn) {
		return false
	}
	l.waiting.Add(conn, struct{}{})
	return true
}

// close marks a connection as closed, so that it does not stay among the waiting connections.
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

// stateChanged resets the header count when the connection is idle, and notes whether a request is active.
func (c *limitedConn) stateChanged(state http.ConnState) {
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
	closed   bool // protected by the mutex of the listener

	active atomic.Bool // a request is running; its header is complete
	header headerLines // header of the next request
}

// Write implements net.Conn. The connection counts as waiting for its client until the client has accepted the data.
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

// CloseWrite closes the writing side. Before net/http closes a connection, it calls CloseWrite and waits 500 ms, so that the client gets
// the last response.
func (c *limitedConn) CloseWrite() error {
	_ = c.listener.wait(c)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
