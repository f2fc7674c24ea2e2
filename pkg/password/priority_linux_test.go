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

// TestAProcessStandsBehindOthers looks at each thread of one that has hashed, and at those of the program that started it.
func TestAProcessStandsBehindOthers(t *testing.T) {
	t.Parallel()
	own, err := nicenessOf(unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	p, started, _ := hashing(t)
	if _, err := delegating(t, owasp, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); err != nil {
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
		wantNiceness(t, id, own+niceness)
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
			wantNiceness(t, unix.Gettid(), own)
		})
	}
	here.Wait()
}

func wantNiceness(t *testing.T, thread, want int) {
	t.Helper()
	if got, err := nicenessOf(thread); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Error(err)
	} else if err == nil && got != min(want, 19) {
		t.Errorf("thread %d has the niceness %d, want %d", thread, got, want)
	}
}

// nicenessOf undoes what the system call does to its result (getpriority(2)).
func nicenessOf(thread int) (int, error) {
	got, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	return 20 - got, err
}
