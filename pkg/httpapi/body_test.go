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
			"at once": bytes.NewReader(sent), "by bytes": iotest.OneByteReader(bytes.NewReader(sent)), "with its end": iotest.DataErrReader(bytes.NewReader(sent)),
		} {
			got, reserved, err := b.read(post(reader), maxBody)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes %s: %d bytes, %v", size, name, len(got), err)
			}
			if want := int64(max(0, (size-1)/chunkSize*chunkSize)); reserved != want || b.used.Load() != want {
				t.Errorf("%d bytes %s hold %d of the bound, want %d", size, name, reserved, want)
			}
			b.release(reserved)
		}
	}
}

func TestABodyThatIsRefusedHoldsNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxBody+1)
	for name, test := range map[string]struct {
		most    int64
		request *http.Request
		want    user.Code
	}{
		"too long":             {maxBody, post(strings.NewReader(long)), contentTooLarge},
		"too long, by its own": {maxBody, &http.Request{Body: io.NopCloser(iotest.ErrReader(errors.New("read"))), ContentLength: maxBody + 1}, contentTooLarge},
		"cut off":              {maxBody, post(io.MultiReader(strings.NewReader(long[:9000]), iotest.ErrReader(io.ErrUnexpectedEOF))), malformedRequest},
		"past the bound":       {chunkSize, post(strings.NewReader(long[:3*chunkSize])), user.Overloaded},
	} {
		b := newBodies(test.most)
		body, reserved, err := b.read(test.request, maxBody)
		var e *user.Error
		if !errors.As(err, &e) || e.Code != test.want || body != nil || reserved != 0 || b.used.Load() != 0 {
			t.Errorf("%s: %d bytes, %d reserved, %d taken, %v", name, len(body), reserved, b.used.Load(), err)
		}
	}
}

// TestBytesOfBodiesAreBounded receives many bodies at the same time, which together are more than the bound.
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
				_, _ = w.Write(make([]byte, 2*chunkSize)) // returns when all is read, or the body is refused
				arrived.Done()
				<-goOn
				_ = w.Close()
			}()
			_, reserved, err := b.read(post(r), maxBody)
			_ = r.Close()
			if b.used.Load() > most {
				t.Errorf("%d bytes are taken, of %d", b.used.Load(), most)
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
		t.Errorf("%d bytes are taken while bodies wait, want %d", got, most)
	}
	if _, _, err := b.read(post(strings.NewReader(strings.Repeat("x", uncountedBody))), maxBody); err != nil {
		t.Errorf("a small body is refused: %v", err)
	}
	close(goOn)
	all.Wait()
	if counts["refused"] != clients-10 || b.used.Load() != 0 {
		t.Errorf("%d of %d are refused, want all but 10; %d bytes stay taken", counts["refused"], clients, b.used.Load())
	}
}
