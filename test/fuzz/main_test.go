// Package fuzz_test sends random requests, made from the OpenAPI description, to the real program on real servers, and holds each answer
// to the description.
package fuzz_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The defaults are for make test; make fuzz-http sends more requests.
var (
	seed     = flag.Uint64("seed", 1, "what all requests are made from")
	requests = flag.Int("requests", 3000, "how many requests are sent")
	program  = flag.String("program", "", "`path` of the user-service to test, in place of the one that is built")
	only     = flag.Int("number", -1, "send only the request with this `number`, and print its answer")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if *program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "user-service-fuzz-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*program = filepath.Join(dir, "user-service")
	if out, err := exec.Command("go", "build", "-o", *program, "user-service/cmd/user-service").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience is how long a test waits for what must come.
const patience = time.Minute

// await waits for a condition, and reports whether it held in time.
func await(ctx context.Context, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}
