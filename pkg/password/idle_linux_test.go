package password

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAProcessStandsBehindAllOthers looks at each thread of one that has hashed, and at those of the program that started it.
func TestAProcessStandsBehindAllOthers(t *testing.T) {
	t.Parallel()
	p, started, _ := hashing(t)
	if _, err := delegating(t, owasp, p).Hash(t.Context(), "seven green kettles sing"); err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(started()[0].Process.Pid) + "/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("the process has the threads %v, %v", threads, err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			t.Fatal(err)
		}
		wantPolicy(t, id, unix.SCHED_IDLE)
	}

	const others = 20 // more than there were, so that some are new
	var all, here sync.WaitGroup
	all.Add(others)
	for range others {
		here.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
			wantPolicy(t, unix.Gettid(), unix.SCHED_NORMAL)
		})
	}
	here.Wait()
}

func wantPolicy(t *testing.T, thread int, want uint32) {
	t.Helper()
	if got, err := unix.SchedGetAttr(thread, 0); err != nil && !os.IsNotExist(err) && err != unix.ESRCH {
		t.Error(err)
	} else if err == nil && got.Policy != want {
		t.Errorf("thread %d has policy %d, want %d", thread, got.Policy, want)
	}
}
