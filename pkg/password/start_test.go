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

	"user-service/internal/testkit"
)

const examplePassword = "seven green kettles sing"

// TestAStoppedProcessIsReplaced stops a process with SIGSTOP and requests a hash. The process must be killed after its timeout, and
// another process must compute the next hash.
func TestAStoppedProcessIsReplaced(t *testing.T) {
	t.Parallel()
	p, started, exits := startProcess(t)
	h := newHasherWith(t, lowCost, p)
	if _, err := h.Hash(t.Context(), Flow{}, examplePassword); err != nil {
		t.Fatal(err)
	}
	p.timeout = 300 * time.Millisecond
	if err := started()[0].Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, examplePassword); !errors.Is(err, ErrBusy) {
		t.Errorf("the hash of the stopped process: %v, want ErrBusy", err)
	}
	if err := <-exits; !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "after 300ms without a response") {
		t.Errorf("OnExit gets %v, want that the process was killed after 300ms without a response", err)
	}
	p.timeout = busyTimeout
	if err := eventuallyHashes(h, examplePassword); err != nil {
		t.Errorf("the next hash: %v", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAProcessThatNeverRespondsIsRestartedWithADelay starts two processes that never respond. The third start must be delayed.
func TestAProcessThatNeverRespondsIsRestartedWithADelay(t *testing.T) {
	t.Parallel()
	p, started, exits := startProcessThat(t, "never")
	p.timeout = 50 * time.Millisecond
	h := newHasherWith(t, lowCost, p)
	for range 2 {
		if _, err := h.Hash(t.Context(), Flow{}, examplePassword); !errors.Is(err, ErrBusy) || errors.As(err, new(*StartError)) {
			t.Errorf("Hash = %v, want ErrBusy that is not a StartError", err)
		}
		if err := <-exits; !strings.Contains(err.Error(), "without a response") {
			t.Errorf("OnExit gets %v, want an exit without a response", err)
		}
	}
	_, err := h.Hash(t.Context(), Flow{}, examplePassword)
	var failure *StartError
	if !errors.As(err, &failure) || failure.Retry <= 0 || failure.Retry > maxRestart {
		t.Errorf("Hash = %v, want a StartError with the time until the next attempt", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAProcessThatEndsImmediatelyIsRestartedWithADelay requests hashes in a loop for some seconds while each process exits immediately.
// Only a few processes may be started.
func TestAProcessThatEndsImmediatelyIsRestartedWithADelay(t *testing.T) {
	t.Parallel()
	p, started, _ := startProcessThat(t, "exit")
	h := newHasherWith(t, lowCost, p)
	start := time.Now()
	for time.Since(start) < 3*minRestart {
		if _, err := h.Hash(t.Context(), Flow{}, examplePassword); !errors.Is(err, ErrBusy) {
			t.Fatalf("Hash = %v, want ErrBusy", err)
		}
	}
	// One process starts at first, another one immediately, and a third one 2 s later.
	if n := len(started()); n > 3+int(time.Since(start)/(3*minRestart)) {
		t.Errorf("%d processes were started in %s, want at most 3 in 3 s", n, time.Since(start))
	}
}

// TestAFailedStartIsRetriedAfterADelay requests many hashes while the program is missing, and again after it was created. There must be
// one attempt to start the missing program, and one after the delay.
func TestAFailedStartIsRetriedAfterADelay(t *testing.T) {
	t.Parallel()
	var attempts, failures atomic.Int32
	program := filepath.Join(t.TempDir(), "missing")
	p := NewProcess(ProcessConfig{
		Command: func() *exec.Cmd {
			attempts.Add(1)
			cmd := exec.Command(program)
			cmd.Env, cmd.Stderr = []string{"SERVE_HASHES=yes"}, os.Stderr
			return cmd
		},
		OnStartError: func(err *StartError) {
			failures.Add(1)
			if !errors.Is(err, os.ErrNotExist) || err.Retry != minRestart {
				t.Errorf("OnStartError gets %v with a delay of %s, want a missing file and the first delay", err, err.Retry)
			}
		},
	})
	t.Cleanup(p.Close)
	var observed recorder
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits, Process: p, Observer: &observed})
	start := time.Now()
	hashes := 0
	for ; time.Since(start) < minRestart/2; hashes++ {
		if _, err := h.Hash(context.Background(), Flow{}, examplePassword); !errors.Is(err, ErrBusy) || !errors.As(err, new(*StartError)) {
			t.Fatalf("Hash = %v, want a StartError", err)
		}
	}
	if attempts.Load() != 1 || failures.Load() != 1 {
		t.Errorf("for %d hashes, %d attempts and %d calls of OnStartError, want one of each", hashes, attempts.Load(), failures.Load())
	}
	for _, reason := range observed.refused {
		if reason != RefusedStart {
			t.Errorf("the observer gets the reason %q, want %q", reason, RefusedStart)
		}
	}
	if err := os.Symlink(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the start of the existing program", func() bool {
		_, err := h.Hash(context.Background(), Flow{}, examplePassword)
		return err == nil
	})
	if attempts.Load() != 2 {
		t.Errorf("the program was started %d times, want 2", attempts.Load())
	}
}

func TestAStartErrorGivesAdvice(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]string{
		syscall.ENOENT: "file of this program", syscall.EACCES: "file of this program", syscall.ENOEXEC: "file of this program",
		syscall.ENOMEM: "more memory", syscall.EAGAIN: "limit of processes",
		syscall.EMFILE: "limit of open files", syscall.ENFILE: "limit of open files",
	} {
		err := error(&StartError{Err: &os.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: cause}})
		if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, cause.Error()) {
			t.Errorf("%q does not contain %q", text, want)
		}
		if !errors.Is(err, cause) || !errors.Is(err, ErrBusy) {
			t.Errorf("%v is neither %v nor ErrBusy", err, cause)
		}
	}
}

// TestTheDelayGrows simulates failed starts. The delay must double after each of them, up to 10 s, and end after a response.
func TestTheDelayGrows(t *testing.T) {
	t.Parallel()
	var b startBackoff
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := b.failed(syscall.ENOMEM).Retry; got != want*time.Second {
			t.Errorf("the delay is %s, want %s", got, want*time.Second)
		}
	}
	b.reset()
	if err := b.check(); err != nil {
		t.Errorf("after a response: %v", err)
	}
}
