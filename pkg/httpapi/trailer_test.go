package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const chunked = " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"

// names are the shortest names of n header fields.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%c%c", "0123456789!#$%&'*+-.^_|~abcdefghijklmnopqrstuvwxyz"[i%50], "0123456789!#$%&'*+-.^_|~abcdefghijklmnopqrstuvwxyz"[i/50])
	}
	return all
}

// TestManyTrailersAreRefused where a header announces them, by requests that no handler sees too.
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
