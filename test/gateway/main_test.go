// Package gateway_test runs gateways in front of a service, and lets them authenticate requests with the program. It also
// verifies tokens in another language.
package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "user-service-gateway-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "user-service")
	if out, err := exec.Command("go", "build", "-o", program, "user-service/cmd/user-service").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// freeAddress returns an address whose port is below those that systems give to outgoing
// connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.N(10000)))
		if err != nil {
			continue
		}
		_ = l.Close()
		return l.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
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

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	all strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
