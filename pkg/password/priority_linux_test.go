package password

import (
	"errors"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTheHashingProcessHasLowPriority checks that each thread of a hashing process has a low priority, and that the threads of this
// program keep their priority.
func TestTheHashingProcessHasLowPriority(t *testing.T) {
	t.Parallel()
	own, err := nicenessOf(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	p, started, _ := startProcess(t)
	if _, err := newHasherWith(t, owasp, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(started()[0].Process.Pid) + "/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("the process has the threads %v: %v", threads, err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			t.Fatal(err)
		}
		wantNiceness(t, id, own+niceness)
	}

	const others = 20 // more threads than exist, so that some of them are new
	var locked, done sync.WaitGroup
	locked.Add(others)
	for range others {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			locked.Wait()
			wantNiceness(t, unix.Gettid(), own)
		})
	}
	done.Wait()
}

func wantNiceness(t *testing.T, thread, want int) {
	t.Helper()
	if got, err := nicenessOf(thread); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Error(err)
	} else if err == nil && got != min(want, 19) {
		t.Errorf("thread %d has the niceness %d, want %d", thread, got, want)
	}
}

// nicenessOf returns the nice value of a thread. The system call returns 20 minus this value (getpriority(2)).
func nicenessOf(thread int) (int, error) {
	got, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	return 20 - got, err
}
