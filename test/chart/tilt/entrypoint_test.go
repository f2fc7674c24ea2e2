package tilt_test

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pod is a container of the dev image. In these tests, scripts take the place of its programs.
type pod struct {
	live, image string
	command     *exec.Cmd
	lines       chan string
}

// put writes a script in place of a program. does has the commands of the script. In it, SAY stands for a command that prints says and the
// script's arguments.
func put(t *testing.T, folder, program, says, does string) {
	t.Helper()
	path := filepath.Join(folder, program)
	script := "#!/bin/sh\n" + strings.Replace(does, "SAY", "echo "+says+" \"$@\"", 1) + "\n"
	if err := os.WriteFile(path+".new", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

const serves = "trap 'exit 0' TERM; SAY; while :; do sleep 0.05; done"

// begin starts the entrypoint with the build of the image.
func begin(t *testing.T, does string, args ...string) *pod {
	t.Helper()
	return beginWith(t, nil, does, args...)
}

// beginWith starts the entrypoint with additional environment variables.
func beginWith(t *testing.T, env []string, does string, args ...string) *pod {
	t.Helper()
	p := &pod{live: t.TempDir(), image: t.TempDir(), lines: make(chan string, 100)}
	put(t, p.image, "user-service", "image", does)
	put(t, p.image, "dlv", "dlv", serves)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // a shell can't trap a signal that it inherits as ignored, as under nohup
	p.command = exec.Command("sh", append([]string{"tilt/entrypoint"}, args...)...)
	p.command.Env = append(append(os.Environ(), "LIVE="+p.live, "IMAGE="+p.image), env...)
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stderr = p.command.Stdout
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Signal(syscall.SIGTERM) })
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	return p
}

func (p *pod) says(t *testing.T, want string) {
	t.Helper()
	select {
	case line := <-p.lines:
		if !strings.Contains(line, want) {
			t.Fatalf("the output is %q, want %q", line, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the output does not contain %q", want)
	}
}

func (p *pod) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func TestASignalStartsTheNewestBuild(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"serve", "mail"} {
		p := begin(t, serves, command)
		p.says(t, "image "+command)
		for _, name := range []string{"first", "second"} {
			put(t, p.live, "user-service", name, serves)
			p.signal(t, syscall.SIGHUP)
			p.says(t, name+" "+command)
		}
	}
}

func TestTheEntrypointWaitsForANewBuild(t *testing.T) {
	t.Parallel()
	p := begin(t, "SAY; exit 7", "serve")
	p.says(t, "image serve")
	p.says(t, "ended with 7; waiting for the next build")
	put(t, p.live, "user-service", "fixed", serves)
	p.signal(t, syscall.SIGHUP)
	p.says(t, "fixed serve")
}

// TestInCITheEntrypointEndsWithTheProgram covers tilt ci, which has no next build. If the container did not end, tilt ci
// would wait for its timeout.
func TestInCITheEntrypointEndsWithTheProgram(t *testing.T) {
	t.Parallel()
	p := beginWith(t, []string{"ENTRYPOINT_WAITS=no"}, "SAY; exit 7", "serve")
	p.says(t, "image serve")
	if line, open := <-p.lines; open {
		t.Fatalf("the entrypoint goes on: %s", line)
	}
	if err := p.command.Wait(); err == nil || p.command.ProcessState.ExitCode() != 7 {
		t.Errorf("the entrypoint ends with %v, want the status 7 of the program", err)
	}
}

func TestTheDebuggerWaitsOnlyIfItIsAsked(t *testing.T) {
	t.Parallel()
	for wait, want := range map[string]string{"": "--accept-multiclient --continue -- serve", "yes": "--accept-multiclient -- serve"} {
		p := beginWith(t, []string{"DELVE_ADDR=:2345", "DELVE_WAIT=" + wait}, serves, "serve")
		p.says(t, want)
	}
}

func TestSIGTERMIsForwarded(t *testing.T) {
	t.Parallel()
	p := begin(t, "trap 'echo draining; exit 0' TERM; SAY; while :; do sleep 0.05; done", "serve")
	p.says(t, "image serve")
	p.signal(t, syscall.SIGTERM)
	p.says(t, "draining")
	if err := p.command.Wait(); err != nil {
		t.Error(err)
	}
}

// Commands in a pod, such as the commands of the migration and of tilt/actions, run the newest build, and end.
func TestOtherCommandsUseTheNewestBuild(t *testing.T) {
	t.Parallel()
	p := begin(t, "SAY; exit 3", "migrate", "up")
	p.says(t, "image migrate up")
	if err := p.command.Wait(); err == nil || p.command.ProcessState.ExitCode() != 3 {
		t.Errorf("the command ends with %v", err)
	}
}
