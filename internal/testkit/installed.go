package testkit

import (
	"os/exec"
	"sync"
	"testing"
)

// installing serializes installations.
var installing sync.Mutex

// Installed returns the path of a command, and installs its package by tools/dev/packages if it is missing. The test's folder must be
// two levels below the repository's.
func Installed(t testing.TB, command, pkg string) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if path, err := find(command); err == nil {
		return path
	}
	install := exec.CommandContext(t.Context(), "../../tools/dev/packages", pkg) //nolint:gosec // a package of the caller
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v: %s", pkg, err, out)
	}
	path, err := find(command)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// find also searches /usr/sbin, which is not in every user's PATH.
func find(command string) (string, error) {
	if path, err := exec.LookPath(command); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + command)
}
