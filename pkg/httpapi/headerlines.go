package httpapi

import (
	"errors"
	"io"
)

// maxHeaderLines bounds the lines of a request's header: net/http keeps some 70 bytes for the shortest field, beside its text. Servers and
// gateways take about a hundred.
const maxHeaderLines = 128

var errHeaderLines = errors.New("the header of a request has too many fields")

// tooManyFields is the response to such a request, which no handler sees (RFC 6585 section 5).
const tooManyFields = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// headerLines counts the lines of a header that arrives in parts.
type headerLines struct {
	ended bool // the empty line behind the header has arrived
	lines int
	bytes int // of the line that has begun, without its end
}

// add counts what has arrived. It reports whether the header has too many lines.
func (h *headerLines) add(p []byte) (tooMany bool) {
	for _, b := range p {
		switch {
		case h.ended:
			return false
		case b == '\n':
			h.ended = h.bytes == 0 && h.lines > 0
			h.lines++
			h.bytes = 0
		case b != '\r':
			h.bytes++
		}
		if h.lines > maxHeaderLines {
			return true
		}
	}
	return false
}

// Read implements net.Conn. It ends a connection whose request has a header of too many lines.
func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.active.Load() && c.header.add(p[:n]) {
		_, _ = io.WriteString(c.Conn, tooManyFields)
		return 0, errHeaderLines
	}
	return n, err
}
