// Package chaos_test runs the real program on real servers, takes one or the other away in
// the middle of the traffic, and holds the program to its promises on events.
package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The defaults are for make test; make chaos has larger values.
var (
	volume  = flag.Int("accounts", 200, "accounts of the tests of volume")
	outage  = flag.Duration("outage", time.Second, "how long RabbitMQ or PostgreSQL stays away, beside the time it takes to start")
	kills   = flag.Int("kills", 3, "how often the service is killed")
	arrival = flag.Int("rate", 20, "accounts made each second while a test takes something away")
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) {
	// A test spends most of its time on waiting for servers to start.
	_ = flag.Set("test.parallel", "4")
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "user-service-chaos-")
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { // Ctrl-C ends no cleanups of tests
		purgeAll()
		_ = os.RemoveAll(dir)
		os.Exit(130)
	})()
	return m.Run()
}

// patience is how long a test waits for what must come.
func patience() time.Duration { return time.Minute + *outage }

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience())
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
