package password

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startIdle starts a process that the system's scheduler puts behind all others: of its control group, such as a
// container, by SCHED_IDLE, and where each session is a group by the niceness of its own (sched(7)). Where that is forbidden, or there
// is no such thing, it is a process like others.
func startIdle(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, so that the thread ends here: a process takes after the thread that starts it
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		started <- cmd.Start()
	}()
	err := <-started
	if err == nil {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", cmd.Process.Pid), []byte("19"), 0)
	}
	return err
}
