package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// cpuPeriod is the period of the CPU limit, as Kubernetes sets it.
const cpuPeriod = 100 * time.Millisecond

// cpuGroup is a control group with a CPU limit for all processes of a program, as a container has one. Nil means no limit.
type cpuGroup struct{ dir string }

// newCPUGroup creates a control group of cgroup v2, or of the CPU controller of cgroup v1. It requires root permissions.
func newCPUGroup(cpus float64) (*cpuGroup, error) {
	parent := "/sys/fs/cgroup"
	quota, period := strconv.Itoa(int(cpus*float64(cpuPeriod.Microseconds()))), strconv.Itoa(int(cpuPeriod.Microseconds()))
	limits := map[string]string{"cpu.max": quota + " " + period}
	if _, err := os.Stat(filepath.Join(parent, "cgroup.controllers")); err == nil {
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu"), 0) // it may be enabled already
	} else {
		parent = filepath.Join(parent, "cpu")
		limits = map[string]string{"cpu.cfs_period_us": period, "cpu.cfs_quota_us": quota}
	}
	dir, err := os.MkdirTemp(parent, "user-service-compare-")
	if err != nil {
		return nil, fmt.Errorf("limit the CPUs: %w", err)
	}
	g := &cpuGroup{dir}
	for name, value := range limits {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil {
			g.close()
			return nil, fmt.Errorf("limit the CPUs: %w", err)
		}
	}
	return g, nil
}

// close removes the group. Its processes have ended, but the kernel may need a moment.
func (g *cpuGroup) close() {
	if g == nil {
		return
	}
	for range 100 {
		if os.Remove(g.dir) == nil {
			return
		}
		pauseUntil(time.Now().Add(20 * time.Millisecond))
	}
}

// command returns a command that runs the program in the group from its first instruction.
func (b *bench) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	ctx = context.WithoutCancel(ctx) // close ends the program
	if b.cpus == nil {
		return exec.CommandContext(ctx, program, args...) //nolint:gosec // the program that was built, or that the user names
	}
	const enter = `echo $$ >"$0" && exec "$@"`
	args = append([]string{"-c", enter, filepath.Join(b.cpus.dir, "cgroup.procs"), program}, args...)
	return exec.CommandContext(ctx, "sh", args...) //nolint:gosec // as above
}
