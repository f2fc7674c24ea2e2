// Package gateway_test runs gateways in front of a service, and lets them authenticate requests with the program. It opens the
// sample shop behind them in a browser, and verifies tokens in another language.
package gateway_test

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"user-service/internal/testkit"
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) {
	code := testkit.Main(m, &program)
	chromium.stop()
	os.Exit(code)
}

func accepts(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// installing serializes installations.
var installing sync.Mutex

// installed returns the path of a command, and installs its package if it is missing.
func installed(t *testing.T, command, pkg string) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if path, err := find(command); err == nil {
		return path
	}
	if out, err := exec.Command("../../tools/dev/packages", pkg).CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v: %s", pkg, err, out)
	}
	path, err := find(command)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// find also searches /usr/sbin, which is not in every user's PATH.
func find(command string) (string, error) {
	if path, err := exec.LookPath(command); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + command)
}
