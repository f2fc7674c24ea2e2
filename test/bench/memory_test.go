package bench_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// peakMiB returns the peak memory of the serving and the hashing process together.
func (s *replica) peakMiB(b *testing.B) float64 {
	b.Helper()
	sum := s.servePeakMiB(b)
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	if err != nil || len(lists) == 0 {
		b.Fatalf("the system does not report the children of a process: %v", err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		for child := range strings.FieldsSeq(string(children)) {
			sum += peakOf(b, child)
		}
	}
	return sum
}

// servePeakMiB returns the peak memory of the serving process.
func (s *replica) servePeakMiB(b *testing.B) float64 {
	b.Helper()
	return peakOf(b, strconv.Itoa(s.cmd.Process.Pid))
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func peakOf(b *testing.B, pid string) (mib float64) {
	b.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		b.Fatal(err)
	}
	found := peakLine.FindStringSubmatch(string(status))
	if found == nil {
		b.Fatal("the program has ended, or the system does not report the memory of the process")
	}
	kib, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// memoryGroup is a control group with a memory limit, as a container has one. Nil means no limit.
type memoryGroup struct{ dir string }

// newMemoryGroup creates a control group below parent until the benchmark ends. parent is a directory of cgroup v2, or of the
// memory controller of cgroup v1. It requires root permissions there.
func newMemoryGroup(b *testing.B, parent string, limit int64) *memoryGroup {
	b.Helper()
	name := "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(parent, "cgroup.controllers")); err == nil {
		name = "memory.max"
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0) // it may be enabled already
	}
	dir, err := os.MkdirTemp(parent, "user-service-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { // the process that hashes ends a moment after the one that serves
		testkit.WaitFor(b, "the control group to be empty", func() bool { return os.Remove(dir) == nil })
	})
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		b.Fatalf("limit the memory of a control group: %v", err)
	}
	return &memoryGroup{dir}
}

// command returns a command that runs the program in the group from its first instruction.
func (g *memoryGroup) command(program string, args ...string) *exec.Cmd {
	if g == nil {
		return exec.Command(program, args...)
	}
	const enter = `echo $$ >"$0" && exec "$@"`
	return exec.Command("sh", append([]string{"-c", enter, filepath.Join(g.dir, "cgroup.procs"), program}, args...)...)
}

// peakMiB returns the peak memory of the group, and the number of processes that the kernel killed at the limit.
func (g *memoryGroup) peakMiB(b *testing.B) (mib float64, killed int) {
	b.Helper()
	read := func(names ...string) string {
		for _, name := range names { // v2, then v1
			if content, err := os.ReadFile(filepath.Join(g.dir, name)); err == nil {
				return string(content)
			}
		}
		b.Fatalf("the control group has none of %v", names)
		return ""
	}
	peak, err := strconv.ParseFloat(strings.TrimSpace(read("memory.peak", "memory.max_usage_in_bytes")), 64)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(read("memory.events", "memory.oom_control")) {
		_, _ = fmt.Sscanf(line, "oom_kill %d", &killed)
	}
	return peak / (1 << 20), killed
}
