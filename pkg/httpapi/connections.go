package httpapi

import (
	"net"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxConnections bounds the memory and the file descriptors that connections take.
const maxConnections = 10_000

// LimitConnections bounds how many connections server has from listener. At the bound the connection that has been idle
// for longest is closed for the next one; while none is idle, clients wait in the system's backlog. It has to be called before
// the server serves, and sets its ConnState.
func LimitConnections(server *http.Server, listener net.Listener) net.Listener {
	return limitConnections(server, listener, maxConnections)
}

func limitConnections(server *http.Server, listener net.Listener, most int) *limitedListener {
	idle, _ := simplelru.NewLRU[net.Conn, struct{}](most, nil) // it fails for a size of 0 only
	l := &limitedListener{Listener: listener, places: make(chan struct{}, most), closed: make(chan struct{}), idle: idle}
	server.ConnState = l.changed
	return l
}

// limitedListener is a net.Listener that accepts a connection only when it has a place for it.
type limitedListener struct {
	net.Listener
	places chan struct{} // holds one for each connection
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	idle    *simplelru.LRU[net.Conn, struct{}] // the one that became idle first is the oldest
	waiting bool                               // whether Accept waits for a place
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	if !l.acquire() {
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// acquire takes a place, if need be that of an idle connection. It returns false when the listener is closed.
func (l *limitedListener) acquire() bool {
	select {
	case l.places <- struct{}{}:
		return true
	default:
	}
	l.wait(true)
	defer l.wait(false)
	select {
	case l.places <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

// wait notes whether Accept waits for a place, and at the beginning makes one.
func (l *limitedListener) wait(waiting bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = waiting
	if conn, _, ok := l.idle.GetOldest(); ok && waiting {
		l.idle.Remove(conn)
		l.waiting = false // one place is enough
		_ = conn.Close()
	}
}

// changed is the ConnState of the server.
func (l *limitedListener) changed(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case state != http.StateIdle:
		l.idle.Remove(conn)
	case l.waiting:
		l.waiting = false
		_ = conn.Close()
	default:
		l.idle.Add(conn, struct{}{})
	}
}

// limitedConn leaves its place when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the last answer is not lost.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
