package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"user-service/pkg/user"
)

func post(body io.Reader) *http.Request {
	return &http.Request{Body: io.NopCloser(body), ContentLength: -1}
}

func TestABodyIsReadAsItWasSent(t *testing.T) {
	t.Parallel()
	b := newBodies(maxBody)
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, maxBody - 1, maxBody} {
		sent := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		for name, reader := range map[string]io.Reader{
			"in one read":       bytes.NewReader(sent),
			"byte by byte":      iotest.OneByteReader(bytes.NewReader(sent)),
			"with EOF and data": iotest.DataErrReader(bytes.NewReader(sent)),
		} {
			got, reserved, err := b.read(post(reader), maxBody)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes %s: read %d bytes, error %v; want the bytes that were sent", size, name, len(got), err)
			}
			if want := int64(max(0, (size-1)/chunkSize*chunkSize)); reserved != want || b.used.Load() != want {
				t.Errorf("%d bytes %s reserve %d bytes of the bound (%d in total), want %d", size, name, reserved, b.used.Load(), want)
			}
			b.release(reserved)
		}
	}
}

func TestARefusedBodyReservesNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxBody+1)
	failing := iotest.ErrReader(errors.New("read"))
	cutOff := io.MultiReader(strings.NewReader(long[:9000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	for name, test := range map[string]struct {
		most    int64
		request *http.Request
		want    user.Code
	}{
		"too long":                   {maxBody, post(strings.NewReader(long)), contentTooLarge},
		"too long by Content-Length": {maxBody, &http.Request{Body: io.NopCloser(failing), ContentLength: maxBody + 1}, contentTooLarge},
		"cut off":                    {maxBody, post(cutOff), malformedRequest},
		"above the bound":            {chunkSize, post(strings.NewReader(long[:3*chunkSize])), user.Overloaded},
	} {
		b := newBodies(test.most)
		body, reserved, err := b.read(test.request, maxBody)
		var e *user.Error
		if !errors.As(err, &e) || e.Code != test.want || body != nil || reserved != 0 || b.used.Load() != 0 {
			t.Errorf("%s: %d bytes read, %d reserved, %d in use, error %v; want 0 bytes and the code %s",
				name, len(body), reserved, b.used.Load(), err, test.want)
		}
	}
}

// TestBytesOfBodiesAreBounded receives many bodies concurrently. Their total size exceeds the bound.
func TestBytesOfBodiesAreBounded(t *testing.T) {
	t.Parallel()
	const most, clients = 10 * chunkSize, 40
	b := newBodies(most)
	var arrived, all sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	goOn := make(chan struct{})
	for range clients {
		arrived.Add(1)
		all.Go(func() {
			r, w := io.Pipe()
			go func() {
				_, _ = w.Write(make([]byte, 2*chunkSize)) // returns when everything is read or the body is refused
				arrived.Done()
				<-goOn
				_ = w.Close()
			}()
			_, reserved, err := b.read(post(r), maxBody)
			_ = r.Close()
			if b.used.Load() > most {
				t.Errorf("%d bytes are in use, want at most %d", b.used.Load(), most)
			}
			mu.Lock()
			defer mu.Unlock()
			if counts["read"]++; err != nil {
				counts["refused"]++
			}
			b.release(reserved)
		})
	}
	arrived.Wait()
	if got := b.used.Load(); got != most {
		t.Errorf("%d bytes are in use while bodies wait, want %d", got, most)
	}
	if _, _, err := b.read(post(strings.NewReader(strings.Repeat("x", uncountedBody))), maxBody); err != nil {
		t.Errorf("a small body is refused with %v, want it read", err)
	}
	close(goOn)
	all.Wait()
	if counts["refused"] != clients-10 || b.used.Load() != 0 {
		t.Errorf("%d of %d bodies are refused and %d bytes stay in use, want %d and 0",
			counts["refused"], clients, b.used.Load(), clients-10)
	}
}
