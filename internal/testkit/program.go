package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main builds the service, stores the path of the executable in program, runs the tests, and returns their exit code. If program is not
// empty, Main builds nothing.
func Main(m *testing.M, program *string) int { return WithProgram(program, m.Run) }

// WithProgram is like [Main], but calls run in place of the tests. Afterwards it deletes the executable that it has built.
func WithProgram(program *string, run func() int) int {
	if *program != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "user-service-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		*program, err = Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// Build builds the service into a directory, and returns the path of the executable.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "user-service")
	build := exec.Command("go", "build", "-o", path, "user-service/cmd/user-service") //nolint:gosec,noctx // the test's deadline ends it
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
