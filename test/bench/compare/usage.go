package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc (USER_HZ).
const tick = time.Second / 100

// process is what /proc knows about a process.
type process struct {
	pid, parent int
	cpu         time.Duration // of the process and of its children that have ended
}

// processes returns all processes.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil { // it has ended
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		p := process{pid: pid}
		p.parent, _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime: proc(5)
			n, _ := strconv.Atoi(field)
			p.cpu += time.Duration(n) * tick
		}
		all = append(all, p)
	}
	return all, nil
}

// tree returns a process and all of its descendants.
func tree(root int) ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	within := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if within[p.parent] && !within[p.pid] {
				within[p.pid], grown = true, true
			}
		}
	}
	var out []process
	for _, p := range all {
		if within[p.pid] {
			out = append(out, p)
		}
	}
	return out, nil
}

// cpuOf returns the CPU time of a process and all of its descendants.
func cpuOf(root int) (used time.Duration, err error) {
	all, err := tree(root)
	for _, p := range all {
		used += p.cpu
	}
	return used, err
}

// memoryOf returns the memory of a process and all of its descendants in MiB, as PSS: memory that several processes share counts once.
func memoryOf(root int) (mib float64, err error) {
	all, err := tree(root)
	for _, p := range all {
		rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid)) // it may have ended
		for line := range strings.Lines(string(rollup)) {
			var kib float64
			if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kib); n == 1 {
				mib += kib / 1024
			}
		}
	}
	return mib, err
}

// parentOf returns the parent of a process, such as the server of one of PostgreSQL's processes.
func parentOf(pid int) (int, error) {
	all, err := processes()
	for _, p := range all {
		if p.pid == pid {
			return p.parent, err
		}
	}
	return 0, fmt.Errorf("PostgreSQL's process %d is not on this machine, so its CPU time can't be measured", pid)
}
