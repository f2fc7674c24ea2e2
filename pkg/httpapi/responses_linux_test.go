package httpapi

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestAClosedConnectionKeepsNothingUnsent requests large responses on four connections and does not read them. The service closes the first
// two connections. The kernel must not keep unsent data of these two.
func TestAClosedConnectionKeepsNothingUnsent(t *testing.T) {
	t.Parallel()
	s, dial := serveMost(t, 10)
	var closed []*client
	for range 4 {
		c := dial()
		_ = c.largeResponse(t)
		closed = append(closed, c)
	}
	_, port, _ := net.SplitHostPort(s.inner.Addr().String())
	for _, c := range closed[:2] {
		testkit.WaitFor(t, "the kernel to drop the unsent data of a closed connection",
			func() bool { return !unsent(t, port, c.LocalAddr()) })
	}
	if !unsent(t, port, closed[3].LocalAddr()) {
		t.Error("an open connection has no unsent data, want some: otherwise the test proves nothing")
	}
}

// unsent reports whether the socket between the port and a client has unsent data.
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
