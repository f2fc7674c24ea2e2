package httpapi

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"user-service/pkg/user"
)

// Limits of the bodies that are being received. A slow client may take readTimeout to send a body, and up to maxConnections clients may
// send slowly at the same time.
const (
	maxBody   = 64 << 10 // bytes of one body
	smallBody = 4 << 10  // bytes of a body that is read only for its token
	// maxBodies limits the bytes of all bodies together, not counting the first uncountedBody bytes of each. So there is room for 136
	// bodies of maxBody bytes.
	maxBodies = 8 << 20
	// uncountedBody is the number of bytes of each body that do not count, so that large and slow bodies do not block logins.
	uncountedBody = chunkSize
	// chunkSize is the number of bytes that are allocated when the first byte of a chunk has arrived. maxBody is a multiple of chunkSize.
	chunkSize = 4 << 10
)

type chunk [chunkSize]byte

// bodies reads request bodies within a common limit of bytes. It is safe for concurrent use.
type bodies struct {
	limit  int64
	used   atomic.Int64
	chunks sync.Pool // unused chunks (*chunk)
}

func newBodies(limit int64) *bodies {
	return &bodies{limit: limit, chunks: sync.Pool{New: func() any { return new(chunk) }}}
}

// reserve reserves n bytes. It reports false if the limit does not allow them.
func (b *bodies) reserve(n int64) bool {
	for {
		taken := b.used.Load()
		if taken+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(taken, taken+n) {
			return true
		}
	}
}

func (b *bodies) release(n int64) { b.used.Add(-n) }

// bodyReader receives one body.
type bodyReader struct {
	bodies   *bodies
	limit    int
	chunks   []*chunk
	size     int
	reserved int64
	first    [1]byte
}

// read returns the body of a request, of at most limit bytes. reserved is the number of bytes that the caller must release.
//
// Errors: contentTooLarge, malformedRequest, Overloaded. If there is an error, reserved is 0.
func (b *bodies) read(r *http.Request, limit int) (body []byte, reserved int64, err error) {
	if r.ContentLength > int64(limit) {
		return nil, 0, errTooLarge(limit)
	}
	in := &bodyReader{bodies: b, limit: limit}
	for err == nil {
		err = in.receive(r.Body)
	}
	if err = readError(err); err == nil {
		body = in.bytes()
	}
	for _, c := range in.chunks {
		b.chunks.Put(c)
	}
	if err != nil {
		b.release(in.reserved)
		in.reserved = 0
	}
	return body, in.reserved, err
}

// receive waits for one byte, then allocates a chunk and fills the chunk. Error at the end of the body: io.EOF.
func (in *bodyReader) receive(body io.Reader) error {
	n, err := body.Read(in.first[:])
	if n == 0 {
		return err
	}
	if in.size >= in.limit {
		return errTooLarge(in.limit)
	}
	if in.size >= uncountedBody {
		if !in.bodies.reserve(chunkSize) {
			return errTooManyBodies()
		}
		in.reserved += chunkSize
	}
	next := in.bodies.chunks.Get().(*chunk) // the pool contains only chunks
	in.chunks = append(in.chunks, next)
	next[0] = in.first[0]
	filled := 1
	for err == nil && filled < chunkSize {
		n, err = body.Read(next[filled:])
		filled += n
	}
	in.size += filled
	return err
}

// bytes returns the body in one piece.
func (in *bodyReader) bytes() []byte {
	body := make([]byte, 0, in.size)
	for _, c := range in.chunks {
		body = append(body, c[:min(chunkSize, in.size-len(body))]...)
	}
	return body
}

// readError converts an error of receive to an error of read: nil at the end of the body.
func readError(err error) error {
	var known *user.Error
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &known):
		return err
	default:
		return errMalformed("The body could not be read completely.")
	}
}

func errTooManyBodies() error {
	return &user.Error{
		Code: user.Overloaded, Detail: "The service is receiving too many large bodies; try again shortly.",
		RetryAfter: time.Second, Err: errBodiesFull,
	}
}

// errBodiesFull is the cause of the error for a body that would exceed maxBodies.
var errBodiesFull = errors.New("request bodies have reached their limit of bytes")
