package password

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startIdle starts a process that the system's scheduler puts behind all others of its group (sched(7), SCHED_IDLE). Where
// that is forbidden it is one like others.
func startIdle(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, so that the thread ends here: a process takes after the thread that starts it
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		started <- cmd.Start()
	}()
	return <-started
}
