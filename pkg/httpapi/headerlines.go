package httpapi

import (
	"errors"
	"io"
)

// maxHeaderLines limits the lines of a request's header. For the shortest field, net/http keeps about 70 bytes in addition to its text.
// Other servers and gateways accept about a hundred lines.
const maxHeaderLines = 128

// maxHeaderCommas limits the elements of lists in a header. net/http makes a map of the Trailer list, with about 70 bytes per element.
const maxHeaderCommas = 256

// maxRead limits the bytes of one read from a connection. When a request ends, net/http may already have read that many bytes of the next
// request. Header lines and list elements in these bytes are not counted. Each of them has at least two bytes, so at most 256 are not
// counted.
const maxRead = 512

var errHeaderLines = errors.New("the header of a request has too many fields, or elements of lists")

// tooManyFields is the response to a request with too many fields. Such a request does not reach a handler (RFC 6585 section 5).
const tooManyFields = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// headerLines counts the lines and commas of a header that arrives in parts.
type headerLines struct {
	ended  bool // the empty line after the header has arrived
	full   bool // the header has too many lines or commas
	lines  int
	commas int
	bytes  int // bytes of the current line, without the line break
}

// add counts the lines and commas in p.
func (h *headerLines) add(p []byte) {
	for _, b := range p {
		switch {
		case h.ended || h.full:
			return
		case b == '\n' && h.bytes == 0 && h.lines == 0: // net/http skips an empty line before a request
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

// Read implements net.Conn. It rejects a request whose header has too many lines or commas, and sends tooManyFields. All later reads and
// writes fail, because net/http may try both. Errors: the connection's errors, errHeaderLines.
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
