// Package observability_test compares dashboards, alerts and runbooks with the metrics of the running service, using Prometheus.
package observability_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"user-service/internal/testkit"
)

const chart = "charts/user-service"

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := os.Chdir("../.."); err != nil { // all paths are relative to the root of the project
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, command := range []string{"tools/dev/chart-tools", "tools/dev/prometheus-tools"} {
		build := exec.Command(command)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", command, err)
			return 1
		}
	}
	return testkit.Main(m, &program)
}

// tool returns the output of a program of .bin, and fails the test if the program fails.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.Command(filepath.Join(".bin", name), args...)
	command.Env = append(os.Environ(), "KUBECONFIG=/dev/null") // no cluster
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.Bytes())
	}
	return string(out)
}
