package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// limitFaults reduce the resources of a replica.
var limitFaults = []fault{
	{
		// The kernel does this when the hashes need more memory than is available.
		kind: "hashing process killed", lane: replicas, least: 0, most: time.Second, local: true,
		means: history.Fault{Database: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			killed := 0
			for range 2 {
				children, err := r.replicas[s.replica].children()
				for _, child := range children {
					err = errors.Join(err, syscall.Kill(child, syscall.SIGKILL))
					killed++
				}
				if err != nil {
					return err
				}
				testkit.Pause(ctx, s.lasts)
			}
			f.Detail = fmt.Sprintf("%d killed", killed)
			return nil
		},
	}, {
		// The replica can neither accept nor open a connection.
		kind: "no descriptor is free", lane: replicas, least: 200 * time.Millisecond, most: 1200 * time.Millisecond, local: true,
		means: history.Fault{Database: true, Connections: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			replica := r.replicas[s.replica]
			var usual syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
				return fmt.Errorf("limit of descriptors: %w", err)
			}
			open := replica.descriptors()
			f.Detail = fmt.Sprintf("%d are open", open)
			err := replica.limitDescriptors(ctx, uint64(open))
			testkit.Pause(ctx, s.lasts)
			return errors.Join(err, replica.limitDescriptors(ctx, usual.Cur))
		},
	},
}

// limitDescriptors sets the limit of open descriptors of the process.
func (s *service) limitDescriptors(ctx context.Context, n uint64) error {
	pid := strconv.Itoa(s.cmd.Process.Pid)
	if out, err := exec.CommandContext(ctx, "prlimit", "--pid", pid, fmt.Sprintf("--nofile=%d:", n)).CombinedOutput(); err != nil {
		return fmt.Errorf("limit descriptors: %w: %s", err, out)
	}
	return nil
}

// children returns the child processes of the replica.
func (s *service) children() (pids []int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) { // a thread that has ended
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("children of a replica: %w", err)
		}
		for _, field := range strings.Fields(string(content)) {
			child, _ := strconv.Atoi(field)
			pids = append(pids, child)
		}
	}
	return pids, nil
}
