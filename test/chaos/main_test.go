// Package chaos_test runs the program with real servers under faults, and checks that it keeps its promises.
package chaos_test

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
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
	os.Exit(testkit.WithProgram(&program, func() int { return run(m) }))
}

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { // Ctrl-C skips the cleanups of tests
		cleanUpAll()
		_ = os.RemoveAll(filepath.Dir(program))
		os.Exit(130)
	})()
	return m.Run()
}
