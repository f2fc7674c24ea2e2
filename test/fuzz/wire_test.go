package fuzz_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"user-service/test/fuzz/contract"
)

// wire is a request in raw form.
type wire struct {
	method, target, proto string
	header                [][2]string
	body                  []byte
	chunked               bool
}

func (w *wire) add(name, value string) { w.header = append(w.header, [2]string{name, value}) }

// bytes returns the bytes of the request to an address.
func (w *wire) bytes(addr string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", w.method, w.target, w.proto, addr)
	for _, h := range w.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	switch {
	case w.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for rest := w.body; len(rest) > 0; {
			n := min(len(rest), 1000)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		b.WriteString("0\r\n\r\n")
	case len(w.body) > 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(w.body), w.body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// curl returns the request as a command.
func (w *wire) curl(addr string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "curl -i --path-as-is -X %s %s", quote(w.method), quote("http://"+addr+w.target))
	for _, h := range w.header {
		fmt.Fprintf(&b, " -H %s", quote(h[0]+": "+h[1]))
	}
	if len(w.body) > 4096 {
		fmt.Fprintf(&b, " # with a body of %d bytes that begins with %.200q", len(w.body), w.body)
	} else if len(w.body) > 0 {
		fmt.Fprintf(&b, " --data-binary %s", quote(string(w.body)))
	}
	return b.String()
}

// quote returns a bash word for these bytes.
func quote(s string) string {
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// exchange returns the request in the form that package contract checks: a target with a scheme and a host becomes its path.
func (w *wire) exchange() contract.Exchange {
	x := contract.Exchange{Method: w.method, Target: w.target, Header: http.Header{}, Body: w.body}
	if absolute, found := strings.CutPrefix(w.target, "http://"); found { // RFC 9112 section 3.2.2
		_, path, _ := strings.Cut(absolute, "/")
		x.Target = "/" + path
	}
	for _, h := range w.header {
		x.Header.Add(h[0], h[1])
	}
	return x
}

// answered is the response to a request, or the error if there is no response.
type answered struct {
	contract.Exchange
	took time.Duration
	err  error
}

// client sends requests one after another, through one connection while it stays open. Unlike net/http, it sends invalid requests
// unchanged.
type client struct {
	addr   string
	conn   net.Conn
	reader *bufio.Reader
}

// hang is the timeout of a client.
const hang = 20 * time.Second

func (c *client) send(w *wire) answered {
	reused := c.conn != nil
	a := c.try(w)
	if a.err != nil && reused { // an idle connection may be closed at any time
		a = c.try(w)
	}
	return a
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *client) try(w *wire) answered {
	a := answered{Exchange: w.exchange()}
	if c.conn == nil {
		if c.conn, a.err = net.Dial("tcp", c.addr); a.err != nil {
			c.conn = nil
			return a
		}
		c.reader = bufio.NewReader(c.conn)
	}
	began := time.Now()
	_ = c.conn.SetDeadline(began.Add(hang))
	_, _ = c.conn.Write(w.bytes(c.addr)) // the response may arrive before the whole body is sent
	resp, err := c.read(w.method)        //nolint:bodyclose // the body is read completely, or the connection is closed
	a.took = time.Since(began)
	if err != nil {
		a.err = err
		c.close()
		return a
	}
	a.Status, a.ResponseHeader = resp.StatusCode, resp.Header
	a.ResponseBody, a.err = io.ReadAll(resp.Body)
	a.took = time.Since(began)
	if resp.Close {
		a.ResponseHeader.Set("Connection", "close")
	}
	if resp.Close || a.err != nil {
		c.close()
	}
	return a
}

func (c *client) read(method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(c.reader, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
		if resp.StatusCode < 100 {
			return nil, errors.New("a status below 100")
		}
	}
}
