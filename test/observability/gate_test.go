package observability_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// gate is a proxy to a server. A test can close and open the proxy.
type gate struct {
	net.Listener

	target string
	mu     sync.Mutex
	shut   bool
	delay  time.Duration // the delay of all traffic to the server
	open   map[net.Conn]bool
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, target: target, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		g.set(true)
	})
	go g.run()
	return g
}

// set closes the gate, which ends all connections, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for conn := range g.open {
		if shut {
			_ = conn.Close()
		}
	}
}

// slow changes the delay from now on.
func (g *gate) slow(delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = delay
}

func (g *gate) run() {
	for {
		conn, err := g.Accept()
		if err != nil {
			return
		}
		go g.pass(conn)
	}
}

func (g *gate) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !g.admit(client) {
		return
	}
	go func() {
		_, _ = io.Copy(delayed{server, g}, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, client)
}

// delayed is a server behind a gate.
type delayed struct {
	net.Conn

	gate *gate
}

func (d delayed) Write(p []byte) (int, error) {
	d.gate.mu.Lock()
	delay := d.gate.delay
	d.gate.mu.Unlock()
	testkit.Pause(context.Background(), delay)
	return d.Conn.Write(p)
}

func (g *gate) admit(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.open[conn] = true
	}
	return !g.shut
}
