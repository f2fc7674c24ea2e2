package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main builds the program, runs the tests with its path in program, and returns their exit code. A path that is set is kept.
func Main(m *testing.M, program *string) int { return WithProgram(program, m.Run) }

// WithProgram does what [Main] does around any function. It deletes the program after run.
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

// Build builds the program into a directory, and returns its path.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "user-service")
	build := exec.Command("go", "build", "-o", path, "user-service/cmd/user-service") //nolint:gosec,noctx // the test's deadline ends it
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}
