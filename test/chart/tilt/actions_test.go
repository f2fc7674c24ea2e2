package tilt_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// act returns a command that runs an action of tilt/actions. The text kubectl is a script in place of kubectl.
func act(t *testing.T, kubectl string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command("tilt/actions", args...)
	command.Env = append(os.Environ(), "PATH="+programs(t, map[string]string{"kubectl": kubectl})+":"+os.Getenv("PATH"), "SQL=")
	return command
}

// TestEventsOutliveThePod ends the connection, as a replaced pod does. The action connects again, until it is stopped.
func TestEventsOutliveThePod(t *testing.T) {
	t.Parallel()
	command := act(t, "echo an event; exit 137\n", "events")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() || lines.Text() != "an event" {
			t.Fatalf("the output is %q, want an event", lines.Text())
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // it ends; its status does not matter
}

func TestWithoutATerminalPsqlNeedsSQL(t *testing.T) {
	t.Parallel()
	out, err := act(t, "echo started\n", "psql").CombinedOutput()
	if err == nil || string(out) != "actions: without a terminal, psql needs SQL\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestResetMigratesTheEmptyDatabase checks that the migration runs after the new PostgreSQL has started.
func TestResetMigratesTheEmptyDatabase(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	if out, err := act(t, `shift 4; echo "$*" >>`+log+"\n", "reset").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := strings.Join([]string{
		"delete pod --selector app.kubernetes.io/name=postgresql",
		"rollout status deployment/postgresql --timeout 2m",
		"exec deployment/user-service -- sh /entrypoint migrate up",
	}, "\n") + "\n"
	if got := read(t, log); got != want {
		t.Errorf("kubectl gets\n%s\nwant\n%s", got, want)
	}
}
