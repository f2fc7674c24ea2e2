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

// niceness is added to the nice value of the hashing process. While processes compete for the CPU, the hashing process then gets about a
// third of the CPU time of a normal process. With the even lower priority SCHED_IDLE, the 99th percentile of reads during many logins was
// 4.9 ms instead of 6.6 ms. However, every other CPU-bound program then blocked all logins.
const niceness = 5

// startLowPriority starts a process with a lower priority than the other processes of its control group, such as a container. If the
// kernel schedules each session as a group (autogroup), the process also has a lower priority than other sessions (sched(7)).
func startLowPriority(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // a child inherits the priority of the thread; the thread is never unlocked, so it ends with this goroutine
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
