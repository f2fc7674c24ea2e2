package httpapi

import (
	"errors"
	"io"
)

// maxHeaderLines bounds the lines of a request's header: net/http keeps some 70 bytes for the shortest field, beside its text. Servers and
// gateways take about a hundred.
const maxHeaderLines = 128

// maxHeaderCommas bounds the elements of lists in a header: net/http makes a map of those of Trailer, which takes some 70 bytes for each.
const maxHeaderCommas = 256

// maxRead bounds the bytes of one read from a connection, and so those that net/http has of the next request when it ends one: the lines in
// them are not counted. Short ones are some 170 more, and so are elements.
const maxRead = 512

var errHeaderLines = errors.New("the header of a request has too many fields, or elements of lists")

// tooManyFields is the response to such a request, which no handler sees (RFC 6585 section 5).
const tooManyFields = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// headerLines counts the lines of a header that arrives in parts, and its commas.
type headerLines struct {
	ended  bool // the empty line behind the header has arrived
	full   bool // it has too many lines or commas
	lines  int
	commas int
	bytes  int // of the line that has begun, without its end
}

// add counts what has arrived.
func (h *headerLines) add(p []byte) {
	for _, b := range p {
		switch {
		case h.ended || h.full:
			return
		case b == '\n' && h.bytes == 0 && h.lines == 0: // net/http skips it before a request
		case b == '\n':
			h.ended = h.bytes == 0
			h.lines++
			h.bytes = 0
		case b != '\r':
			h.bytes++
			if b == ',' {
				h.commas++
			}
		}
		h.full = h.lines > maxHeaderLines || h.commas > maxHeaderCommas
	}
}

// Read implements net.Conn. It refuses a request whose header has too many lines or commas. net/http may read again then, and
// respond once more: neither works.
func (c *limitedConn) Read(p []byte) (int, error) {
	if c.header.full {
		return 0, errHeaderLines
	}
	n, err := c.Conn.Read(p[:min(len(p), maxRead)])
	if n == 0 || c.active.Load() {
		return n, err
	}
	if c.header.add(p[:n]); c.header.full {
		_, _ = io.WriteString(c.Conn, tooManyFields)
		return 0, errHeaderLines
	}
	return n, err
}
