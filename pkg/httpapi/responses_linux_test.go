package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestAClosedConnectionKeepsNothingUnsent has clients read nothing of their answers. Those that lose their connections for it leave no
// socket in the kernel that still has something to send.
func TestAClosedConnectionKeepsNothingUnsent(t *testing.T) {
	t.Parallel()
	s, dial := serveMost(t, 10)
	var closed []*client
	for range 4 {
		c := dial()
		if _, err := io.WriteString(c, "GET /answer HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		closed = append(closed, c)
	}
	_, port, _ := net.SplitHostPort(s.inner.Addr().String())
	for _, c := range closed[:2] {
		testkit.WaitFor(t, "the kernel to drop the unsent data of a closed connection", func() bool { return !unsent(t, port, c.LocalAddr()) })
	}
	if !unsent(t, port, closed[3].LocalAddr()) {
		t.Error("a connection that waits has nothing to send: the test shows nothing")
	}
}

// unsent reports whether the socket between the port and a client has something to send.
func unsent(t *testing.T, port string, peer net.Addr) bool {
	t.Helper()
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	_, from, _ := net.SplitHostPort(peer.String())
	local, remote := hexPort(port), hexPort(from)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && strings.HasSuffix(fields[1], local) && strings.HasSuffix(fields[2], remote) {
			return !strings.HasPrefix(fields[4], "00000000:")
		}
	}
	return false
}

func hexPort(port string) string {
	n := 0
	_, _ = fmt.Sscan(port, &n)
	return fmt.Sprintf(":%04X", n)
}
