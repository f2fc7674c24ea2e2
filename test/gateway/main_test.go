// Package gateway_test puts real gateways, and a JWT library of other people, in front of or beside
// the real program.
package gateway_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// installed returns the path of a program, whose package is installed if it is missing.
func installed(t *testing.T, name, pkg string) string {
	t.Helper()
	look := func() (string, error) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		return exec.LookPath("/usr/sbin/" + name) // which not every user's PATH has
	}
	if path, err := look(); err == nil {
		return path
	}
	if out, err := exec.Command("../../tools/dev/packages", pkg).CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v\n%s", pkg, err, out)
	}
	path, err := look()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// background runs a process until the test ends, and waits until it listens on addr.
func background(t *testing.T, addr string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if content, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the log of %s:\n%s", cmd.Path, content)
		}
		_ = log.Close()
	})
	waitFor(t, cmd.Path, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
