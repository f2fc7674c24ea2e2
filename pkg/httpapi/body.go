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

// Bounds of the bodies that are being received. Slow clients may hold a body for as long as readTimeout, and
// there may be maxConnections of them.
const (
	maxBody   = 64 << 10 // bytes of one body
	smallBody = 4 << 10  // … of which only a token is wanted, at an address whose quota is spent
	// maxBodies is how many bytes all bodies together may take, beyond the first freeBody of each: room for 136 of
	// the largest bodies at the same time.
	maxBodies = 8 << 20
	// freeBody is what every body may take, so that large and slow bodies keep no login out.
	freeBody = chunkSize
	// chunkSize is how much memory is taken when the first byte for it has arrived. It divides maxBody.
	chunkSize = 4 << 10
)

type chunk [chunkSize]byte

// bodies reads bodies within a bound of bytes. It is safe for concurrent use.
type bodies struct {
	most   int64
	taken  atomic.Int64
	chunks sync.Pool // of *chunk
}

func newBodies(most int64) *bodies {
	return &bodies{most: most, chunks: sync.Pool{New: func() any { return new(chunk) }}}
}

// reserve takes n bytes of the bound, if so many are left.
func (b *bodies) reserve(n int64) bool {
	for {
		taken := b.taken.Load()
		if taken+n > b.most {
			return false
		}
		if b.taken.CompareAndSwap(taken, taken+n) {
			return true
		}
	}
}

func (b *bodies) release(n int64) { b.taken.Add(-n) }

// incoming is a body that is being received.
type incoming struct {
	bodies   *bodies
	most     int
	chunks   []*chunk
	size     int
	reserved int64
	first    [1]byte
}

// read returns the body of a request, at most so many bytes, and how many bytes of the bound it holds until they are released.
//
// Errors: content-too-large, malformed-request, Overloaded; then it holds none.
func (b *bodies) read(r *http.Request, most int) (body []byte, reserved int64, err error) {
	if r.ContentLength > int64(most) {
		return nil, 0, errTooLarge(most)
	}
	in := &incoming{bodies: b, most: most}
	for err == nil {
		err = in.receive(r.Body)
	}
	if err = endOf(err); err == nil {
		body = in.whole()
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

// receive waits for a byte, and only then takes a chunk for it and what follows it. The error at the end of the body is io.EOF.
func (in *incoming) receive(body io.Reader) error {
	n, err := body.Read(in.first[:])
	if n == 0 {
		return err
	}
	if in.size >= in.most {
		return errTooLarge(in.most)
	}
	if in.size >= freeBody {
		if !in.bodies.reserve(chunkSize) {
			return errBodies()
		}
		in.reserved += chunkSize
	}
	into := in.bodies.chunks.Get().(*chunk) // nothing else is in the pool
	in.chunks = append(in.chunks, into)
	into[0] = in.first[0]
	filled := 1
	for err == nil && filled < chunkSize {
		n, err = body.Read(into[filled:])
		filled += n
	}
	in.size += filled
	return err
}

// whole returns the body in one piece.
func (in *incoming) whole() []byte {
	body := make([]byte, 0, in.size)
	for _, c := range in.chunks {
		body = append(body, c[:min(chunkSize, in.size-len(body))]...)
	}
	return body
}

// endOf gives an error of receive its meaning: nil at the end of the body.
func endOf(err error) error {
	var known *user.Error
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &known):
		return err
	default:
		return errMalformed("The body could not be read to its end.")
	}
}

func errBodies() error {
	return &user.Error{
		Code: user.Overloaded, Detail: "Too many large bodies are being received at this moment; try again shortly.",
		RetryAfter: time.Second, Err: errBodiesFull,
	}
}

// errBodiesFull is the cause of a 503 for which maxBodies is the reason.
var errBodiesFull = errors.New("the bound of bytes of bodies is reached")
