package password

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// niceness is how far a process stands back: where others want all of the CPU it gets a third of what one of them does. Further back
// (SCHED_IDLE) the 99th percentile of the reads in a storm of logins was 4.9 ms and not 6.6, but another program that computes kept everybody from logging in.
const niceness = 5

// startLowPriority starts a process behind others: those of its control group, such as a container, and where each session
// is a group, those of other sessions (sched(7)).
func startLowPriority(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, so that the thread ends here: a process takes after the thread that starts it
		own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-own+niceness)
		}
		started <- cmd.Start()
	}()
	err := <-started
	if err == nil {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", cmd.Process.Pid), []byte(strconv.Itoa(niceness)), 0)
	}
	return err
}
