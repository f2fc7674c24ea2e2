package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const chunked = " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"

// names returns n distinct names of header fields with two characters each.
func names(n int) []string {
	const letters = "0123456789!#$%&'*+-.^_|~abcdefghijklmnopqrstuvwxyz"
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%c%c", letters[i%50], letters[i/50])
	}
	return all
}

// TestManyTrailersAreRefused announces many trailers, also in requests that do not reach a handler.
func TestManyTrailersAreRefused(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"a handler":       "POST /body" + chunked,
		"net/http":        "OPTIONS *" + chunked,
		"an expectation":  "POST /body" + chunked + "Expect: more\r\n",
		"several headers": "POST /body" + chunked + "Trailer: " + strings.Join(names(200), ",") + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, dial := serveTwo(t)
			conn := dial()
			_, _ = io.WriteString(conn, request+"Trailer: "+strings.Join(names(2000), ",")+"\r\n\r\n")
			resp, err := http.ReadResponse(conn.answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("status is %d, want 431", resp.StatusCode)
			}
		})
	}
}

// TestTrailersUseLittleMemory measures the memory of trailers while a handler runs. The test is not parallel, because it measures the heap.
func TestTrailersUseLittleMemory(t *testing.T) {
	const connections, most = 50, connectionBytes
	announced := "Trailer: " + strings.Join(names(maxHeaderCommas), ",") + "\r\n"
	for name, request := range map[string]string{
		"announced": "POST /body" + chunked + announced + "Expect: 100-continue\r\n\r\n",
		"sent":      "POST /wait" + chunked + announced + "\r\n1\r\nx\r\n0\r\n" + strings.Join(names(1000), ":\n") + ":\r\n\r\n",
	} {
		_, dial := serveMost(t, connections)
		before := heap()
		for range connections {
			conn := dial()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			if line, err := conn.answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") &&
				!strings.Contains(line, " 200 ") {
				t.Fatalf("%s: the response is %q (error %v), want 100 or 200", name, line, err)
			}
		}
		<-time.After(100 * time.Millisecond) //nolint:forbidigo // no event shows that the server has read the trailers
		if each := (heap() - before) / connections; each > most {
			t.Errorf("%s: a connection uses %d bytes of the heap, want at most %d", name, each, most)
		}
	}
}
