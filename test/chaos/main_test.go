// Package chaos_test runs the program with real servers under faults, and checks that it keeps its promises.
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

// The defaults are for make test; make chaos uses larger values.
var (
	firstSeed  = flag.Int64("seed", 17, "the first seed")
	seedCount  = flag.Int64("seeds", 1, "how many seeds in a row are run")
	length     = flag.Duration("length", 15*time.Second, "how long faults are injected for each seed")
	everywhere = flag.Bool("everywhere", false, "whether each migration is killed after each of its commands, in each way")
	restarts   = flag.Int("restarts", 2, "how often the only replica is ended and started")
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) {
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
	defer context.AfterFunc(ctx, func() { // Ctrl-C skips the cleanups of tests
		cleanUpAll()
		_ = os.RemoveAll(dir)
		os.Exit(130)
	})()
	return m.Run()
}

// patience is the deadline of a test for an expected condition.
const patience = time.Minute

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !await(t.Context(), patience, condition) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// await waits for a condition, and reports whether it held within the time.
func await(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !condition() {
		if !pause(ctx, 10*time.Millisecond) {
			return false
		}
	}
	return true
}

// pause waits, and returns false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
