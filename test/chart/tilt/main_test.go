// Package tilt_test runs the Tiltfile with functions that record its calls to Tilt. It compares the calls with the chart, the
// manifests, the scripts and the Dockerfile.
package tilt_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../../.."); err != nil { // all paths are relative to the root of the project
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build := exec.Command("tools/dev/chart-tools")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tools/dev/chart-tools:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
