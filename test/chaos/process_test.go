package chaos_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"strconv"
	"strings"
	"syscall"

	"user-service/internal/testkit"
)

// process is a program that a test starts, ends, and may start again.
type process struct {
	user  *syscall.SysProcAttr // the user of the process; nil: the user of the test
	log   testkit.Buffer
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// launch starts the process.
func (p *process) launch(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &p.log, &p.log, p.user
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	p.cmd, p.ended = cmd, ended
	return nil
}

func (p *process) hasEnded() bool { return p.cmd == nil || isClosed(p.ended) }

// end sends a signal to the process and waits for its end.
func (p *process) end(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("end %s: %w", p.cmd.Path, err)
	}
	<-p.ended
	return nil
}

// kill sends SIGKILL to a running process.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// signal sends a signal to the process and its children.
func (p *process) signal(signal syscall.Signal) error { return signalTree(p.cmd.Process.Pid, signal) }

// signalTree sends a signal to a process and its children, which may be in other process groups.
func signalTree(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return fmt.Errorf("children of process %d: %w", pid, err)
	}
	for _, field := range strings.Fields(string(children)) {
		child, _ := strconv.Atoi(field)
		if err := signalTree(child, signal); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// systemUser returns the system user of a package's server, and makes that user the owner of files. It returns nil if the test
// does not run as root.
func systemUser(name string, files ...string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	owner, err := osuser.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(owner.Uid, 10, 32)
	gid, _ := strconv.ParseUint(owner.Gid, 10, 32)
	for _, file := range files {
		if err := os.Chown(file, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
