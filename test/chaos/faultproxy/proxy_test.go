package faultproxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"user-service/test/chaos/faultproxy"
)

// silence is the time for which the tests check that no bytes arrive.
const silence = 100 * time.Millisecond

// echo starts a server that sends its name and then returns each line.
func echo(t *testing.T, name string) (addr string, ended <-chan struct{}) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ends := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(conn, name+"\n")
				_, _ = io.Copy(conn, conn)
				ends <- struct{}{}
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String(), ends
}

func through(t *testing.T, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// client is a connection through a proxy.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, p *faultproxy.Proxy) *client {
	t.Helper()
	c, err := tryDial(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, p *faultproxy.Proxy) (*client, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}, nil
}

// line returns the next line without sending anything, or the error after the deadline.
func (c *client) line(patience time.Duration) (string, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	return c.in.ReadString('\n')
}

func (c *client) wantLine(want string) {
	c.t.Helper()
	if got, err := c.line(5 * time.Second); got != want+"\n" || err != nil {
		c.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (c *client) wantSilence() {
	c.t.Helper()
	if got, err := c.line(silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q, %v; want silence", got, err)
	}
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func TestEachFaultOfAConnection(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(p *faultproxy.Proxy, old *client){
		"cut": func(p *faultproxy.Proxy, old *client) {
			p.Cut()
			if _, err := old.line(5 * time.Second); !errors.Is(err, syscall.ECONNRESET) {
				old.t.Errorf("reading from a cut connection returns %v, want a reset", err)
			}
			dial(old.t, p).wantLine("server")
		},
		"stall": func(p *faultproxy.Proxy, old *client) {
			p.Stall()
			old.send("held")
			old.wantSilence()
			young := dial(old.t, p)
			young.wantSilence()
			p.Resume()
			old.wantLine("held")
			young.wantLine("server")
		},
		"lose": func(p *faultproxy.Proxy, old *client) {
			p.Lose()
			old.send("lost")
			old.wantSilence()
			p.Stall()
			p.Resume()
			old.wantSilence()
			dial(old.t, p).wantLine("server")
		},
		"freeze": func(p *faultproxy.Proxy, old *client) {
			p.Freeze()
			old.send("held")
			old.wantSilence()
			p.Stall()
			p.Resume()
			old.wantSilence()
			dial(old.t, p).wantLine("server")
		},
		"refuse": func(p *faultproxy.Proxy, old *client) {
			p.Refuse(true)
			if c, err := tryDial(old.t, p); err == nil { // otherwise the reset came first
				if got, err := c.line(5 * time.Second); err == nil {
					old.t.Errorf("a refused connection got %q", got)
				}
			}
			old.send("still here")
			old.wantLine("still here")
			p.Refuse(false)
			dial(old.t, p).wantLine("server")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, _ := echo(t, "server")
			p := through(t, addr)
			old := dial(t, p)
			old.wantLine("server")
			test(p, old)
		})
	}
}

func TestTheServerOfALostConnectionDoesNotNoticeTheEnd(t *testing.T) {
	t.Parallel()
	addr, ended := echo(t, "server")
	p := through(t, addr)
	for _, vanish := range []func() int{p.Lose, p.Freeze} {
		c := dial(t, p)
		c.wantLine("server")
		if n := vanish(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		_ = c.conn.Close()
		select {
		case <-ended:
			t.Error("the server's connection has ended, want it open")
		case <-time.After(silence): //nolint:forbidigo // in this time the end would arrive
		}
	}
	p.Close()
	for range 2 {
		<-ended
	}
}

func TestNewConnectionsGoToAnotherTarget(t *testing.T) {
	t.Parallel()
	first, _ := echo(t, "first")
	second, _ := echo(t, "second")
	p := through(t, first)
	old := dial(t, p)
	old.wantLine("first")
	p.Redirect(second)
	dial(t, p).wantLine("second")
	old.send("as before")
	old.wantLine("as before")
}

func TestTheEndOfAConnectionIsForwarded(t *testing.T) {
	t.Parallel()
	addr, ended := echo(t, "server")
	p := through(t, addr)
	c := dial(t, p)
	c.wantLine("server")
	_ = c.conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the server's connection did not end")
	}
}
