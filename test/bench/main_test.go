package bench_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// buildDir contains the program that the benchmarks start.
var buildDir string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "user-service-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	buildDir = dir
	code := m.Run()
	fmt.Fprint(os.Stdout, floodTable())
	return code
}
