package password

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const kettles = "seven green kettles sing"

// TestAStoppedProcessIsReplaced has one hash in a process that was stopped, and then asks for another one.
func TestAStoppedProcessIsReplaced(t *testing.T) {
	t.Parallel()
	p, started, ended := hashing(t)
	h := delegating(t, cheap, p)
	if _, err := h.Hash(t.Context(), Flow{}, kettles); err != nil {
		t.Fatal(err)
	}
	p.waitFor(300 * time.Millisecond)
	if err := started()[0].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, kettles); !errors.Is(err, ErrBusy) {
		t.Errorf("the hash that it has ends with %v, want ErrBusy", err)
	}
	if err := <-ended; !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "after 300ms without an answer") {
		t.Errorf("the end is told as %v", err)
	}
	p.waitFor(busyTime)
	if err := eventuallyHashes(h, kettles); err != nil {
		t.Errorf("the next hash: %v", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAProcessThatNeverAnswersIsNotStartedAtOnceAgain has the first two give no answer.
func TestAProcessThatNeverAnswersIsNotStartedAtOnceAgain(t *testing.T) {
	t.Parallel()
	p, started, ended := serving(t, "never")
	p.hang = 50 * time.Millisecond
	h := delegating(t, cheap, p)
	for range 2 {
		if _, err := h.Hash(t.Context(), Flow{}, kettles); !errors.Is(err, ErrBusy) || errors.As(err, new(*StartError)) {
			t.Errorf("Hash = %v, want an ErrBusy of a process that runs", err)
		}
		if err := <-ended; !strings.Contains(err.Error(), "without an answer") {
			t.Errorf("the end is told as %v", err)
		}
	}
	_, err := h.Hash(t.Context(), Flow{}, kettles)
	var failure *StartError
	if !errors.As(err, &failure) || failure.Retry <= 0 || failure.Retry > maxRestart {
		t.Errorf("Hash = %v, want a StartError with the time of the next try", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAProcessThatEndsAtOnceIsStartedAFewTimesOnly asks for hashes for some time.
func TestAProcessThatEndsAtOnceIsStartedAFewTimesOnly(t *testing.T) {
	t.Parallel()
	p, started, _ := serving(t, "exit")
	h := delegating(t, cheap, p)
	begun := time.Now()
	for time.Since(begun) < 3*minRestart {
		if _, err := h.Hash(t.Context(), Flow{}, kettles); !errors.Is(err, ErrBusy) {
			t.Fatalf("Hash = %v, want ErrBusy", err)
		}
	}
	// The first one, another one at once, and one 2 s later.
	if n := len(started()); n > 3+int(time.Since(begun)/(3*minRestart)) {
		t.Errorf("%d processes were started in %s", n, time.Since(begun))
	}
}

// TestAProcessThatCannotBeStartedIsTriedAgainAfterADelay asks for many hashes while the program is missing, and for one when it
// is there.
func TestAProcessThatCannotBeStartedIsTriedAgainAfterADelay(t *testing.T) {
	t.Parallel()
	var tries, told atomic.Int32
	program := filepath.Join(t.TempDir(), "missing")
	p := &Process{
		Command: func() *exec.Cmd {
			tries.Add(1)
			cmd := exec.Command(program)
			cmd.Env, cmd.Stderr = []string{"SERVE_HASHES=yes"}, os.Stderr
			return cmd
		},
		Unstarted: func(err *StartError) {
			told.Add(1)
			if !errors.Is(err, os.ErrNotExist) || err.Retry != minRestart {
				t.Errorf("it is told of %v and a delay of %s", err, err.Retry)
			}
		},
	}
	t.Cleanup(p.Close)
	var seen recorder
	h := newHasher(t, cheap, ample, &seen)
	h.Delegate(p)
	begun := time.Now()
	hashes := 0
	for ; time.Since(begun) < minRestart/2; hashes++ {
		if _, err := h.Hash(context.Background(), Flow{}, kettles); !errors.Is(err, ErrBusy) || !errors.As(err, new(*StartError)) {
			t.Fatalf("Hash = %v, want a StartError", err)
		}
	}
	if tries.Load() != 1 || told.Load() != 1 {
		t.Errorf("for %d hashes it was started %d times and told of %d times, want once", hashes, tries.Load(), told.Load())
	}
	for _, reason := range seen.refused {
		if reason != RefusedStart {
			t.Errorf("the observer is told of a refusal for %q, want %q", reason, RefusedStart)
		}
	}
	if err := os.Symlink(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := h.Hash(context.Background(), Flow{}, kettles)
		if err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("a program that is there is not started: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if tries.Load() != 2 {
		t.Errorf("it was started %d times, want 2", tries.Load())
	}
}

func TestAStartErrorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]string{
		syscall.ENOENT: "file of this program", syscall.EACCES: "file of this program", syscall.ENOEXEC: "file of this program",
		syscall.ENOMEM: "more memory", syscall.EAGAIN: "limit of processes",
		syscall.EMFILE: "limit of open files", syscall.ENFILE: "limit of open files",
	} {
		err := error(&StartError{Err: &os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: cause}})
		if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, cause.Error()) {
			t.Errorf("%q does not say %q", text, want)
		}
		if !errors.Is(err, cause) || !errors.Is(err, ErrBusy) {
			t.Errorf("%v is neither %v nor ErrBusy", err, cause)
		}
	}
}

// TestTheDelayGrows has no process start.
func TestTheDelayGrows(t *testing.T) {
	t.Parallel()
	var r restarts
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := r.failed(syscall.ENOMEM).Retry; got != want*time.Second {
			t.Errorf("the delay is %s, want %s", got, want*time.Second)
		}
	}
	r.worked()
	if err := r.check(); err != nil {
		t.Errorf("after a process that worked: %v", err)
	}
}

// waitFor sets how long the process may take for a hash.
func (p *Process) waitFor(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hang = d
}
