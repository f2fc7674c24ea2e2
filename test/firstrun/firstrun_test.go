// Package firstrun_test runs the commands of a new user in a copy of the repository.
package firstrun_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"user-service/internal/testkit"
)

const root = "../.."

// files are the files and folders that the commands need.
var files = []string{".env.example", "Makefile", "api", "cmd", "docs/examples", "go.mod", "go.sum", "migrations", "pkg", "tools"}

// copyOfTheRepository returns a folder with the files that the commands need. It also has an unchanged copy of .env.example as .env.
func copyOfTheRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-R", filepath.Join(root, name), target).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", name, err, out)
		}
	}
	if err := os.Link(filepath.Join(dir, ".env.example"), filepath.Join(dir, ".env")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build runs the steps of make run that take minutes the first time.
func build(t *testing.T, dir string) {
	t.Helper()
	for _, line := range []string{"make build", "go build -o bin/mailbox ./tools/mailbox"} {
		command := exec.CommandContext(t.Context(), "bash", "-c", line)
		command.Dir, command.Env = dir, withoutServers(os.Environ())
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
}

// folderForServers returns a folder that the users of the servers can reach.
func folderForServers(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "firstrun-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startInTerminal runs a command, and returns its output. The end of the test stops it, as Ctrl-C does.
func startInTerminal(t *testing.T, dir string, env []string, line string) *testkit.Buffer {
	t.Helper()
	output := &testkit.Buffer{}
	command := exec.Command("bash", "-c", line) // the cleanup stops it
	command.Dir, command.Env, command.Stdout, command.Stderr = dir, env, output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as in a terminal: Ctrl-C reaches the group
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-command.Process.Pid, syscall.SIGINT); err != nil {
			t.Errorf("stop %s: %v", line, err)
		}
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", line, output)
		}
	})
	return output
}

// withoutServers removes the servers of this test run, and the settings of make test itself.
func withoutServers(env []string) (kept []string) {
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		prefixes := []string{"DATABASE_", "RABBITMQ_", "AMQP_", "MAKE", "MFLAGS"}
		if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			kept = append(kept, entry)
		}
	}
	return kept
}
