// Package faultproxy is a TCP proxy that breaks connections in the ways in which a network breaks them.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialTime is the deadline for connecting to the target.
const dialTime = 2 * time.Second

// Proxy forwards connections to a target. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	ended    context.Context
	end      context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // the state of a link has changed
	target  string
	refuse  bool
	stalled bool
	links   map[*link]struct{}
}

// state decides how the bytes of a link are handled.
type state int

const (
	passing state = iota
	stalled       // bytes wait
	frozen        // bytes wait until the proxy is closed
	lost          // bytes are acknowledged and dropped
	broken        // the link is closed
)

// link is one connection of a client, and its connection to the target.
type link struct {
	client, server *net.TCPConn
	state          state
}

// New returns a Proxy on a free port of 127.0.0.1 that forwards to a target.
func New(target string) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &Proxy{listener: listener, target: target, links: map[*link]struct{}{}}
	p.ended, p.end = context.WithCancel(context.Background())
	p.changed = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	return p, nil
}

// Addr returns the address of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close closes the proxy and all its connections.
func (p *Proxy) Close() {
	p.end()
	_ = p.listener.Close()
	p.each(func(l *link) { l.abort() })
	p.work.Wait()
}

// Redirect changes the target of new connections.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Refuse resets new connections while on is true.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Cut resets all open connections and returns their number. New connections are forwarded.
func (p *Proxy) Cut() int { return p.each(func(l *link) { l.abort() }) }

// Stall holds back all bytes, of new connections too, until Resume.
func (p *Proxy) Stall() { p.hold(true, passing, stalled) }

// Resume forwards the bytes that Stall has held back.
func (p *Proxy) Resume() { p.hold(false, stalled, passing) }

func (p *Proxy) hold(on bool, from, to state) {
	p.mu.Lock()
	p.stalled = on
	p.mu.Unlock()
	p.each(func(l *link) {
		if l.state == from {
			l.state = to
		}
	})
}

// Lose makes the open connections half-open: it drops all bytes in both directions and never closes them. It returns their
// number. New connections are forwarded.
func (p *Proxy) Lose() int { return p.each(func(l *link) { l.turn(lost) }) }

// Freeze stops reading from the open connections and never closes them, so that writes to them block. It returns their number.
// New connections are forwarded.
func (p *Proxy) Freeze() int { return p.each(func(l *link) { l.turn(frozen) }) }

// Links returns the number of connections that forward bytes.
func (p *Proxy) Links() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if l.state == passing {
			n++
		}
	}
	return n
}

// each calls change for all links that are neither frozen nor lost, and returns their number. After Close, it also includes frozen and
// lost links.
func (p *Proxy) each(change func(*link)) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if l.state == passing || l.state == stalled || p.ended.Err() != nil {
			change(l)
			n++
		}
	}
	p.changed.Broadcast()
	return n
}

func (l *link) turn(to state) { l.state = to }

// abort closes both connections with a reset.
func (l *link) abort() {
	l.state = broken
	for _, c := range []*net.TCPConn{l.client, l.server} {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.work.Go(func() { p.connect(conn.(*net.TCPConn)) })
		}
	}
}

// connect creates the link of a client.
func (p *Proxy) connect(client *net.TCPConn) {
	p.mu.Lock()
	target, refuse := p.target, p.refuse
	p.mu.Unlock()
	dialer := net.Dialer{Timeout: dialTime}
	server, err := dialer.DialContext(p.ended, "tcp", target)
	if err != nil || refuse {
		_ = client.SetLinger(0)
		_ = client.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	l := &link{client: client, server: server.(*net.TCPConn)}
	p.mu.Lock()
	if p.stalled {
		l.state = stalled
	}
	if p.ended.Err() != nil {
		l.abort()
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, l.client, l.server) })
	pumps.Go(func() { p.pump(l, l.server, l.client) })
	pumps.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	_ = l.client.Close()
	_ = l.server.Close()
}

// pump forwards bytes in one direction until the source ends or the link breaks. If the link is lost or frozen, pump does not
// forward the source's end of file.
func (p *Proxy) pump(l *link, from, to *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		switch p.await(l) {
		case passing:
			if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
				_ = l.client.Close()
				_ = l.server.Close()
				return
			}
		case lost:
			if err != nil {
				p.awaitBreak(l)
				return
			}
		default:
			return
		}
	}
}

// await returns the state of a link as soon as its bytes need not wait.
func (p *Proxy) await(l *link) state {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l.state == stalled || l.state == frozen {
		p.changed.Wait()
	}
	return l.state
}

// awaitBreak waits until a link is closed.
func (p *Proxy) awaitBreak(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l.state != broken {
		p.changed.Wait()
	}
}
