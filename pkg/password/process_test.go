package password

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestMain turns this program into a hashing process if SERVE_HASHES is set.
func TestMain(m *testing.M) {
	switch os.Getenv("SERVE_HASHES") {
	case "":
		os.Exit(m.Run())
	case "never": // never responds
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	case "exit":
		return
	}
	if err := Serve(os.Stdin, os.Stdout); err != nil {
		panic(err)
	}
}

// startProcess starts a Process. It also returns the commands that were started so far, and the errors that OnExit got.
func startProcess(t *testing.T) (p *Process, started func() []*exec.Cmd, exits chan error) {
	t.Helper()
	return startProcessThat(t, "yes")
}

// busyTimeout is the timeout for a response on a busy machine.
const busyTimeout = time.Minute

// startProcessThat does the same as startProcess, with another value of SERVE_HASHES, see TestMain.
func startProcessThat(t *testing.T, mode string) (p *Process, started func() []*exec.Cmd, exits chan error) {
	t.Helper()
	var mu sync.Mutex
	var all []*exec.Cmd
	exits = make(chan error, 10)
	p = NewProcess(ProcessConfig{OnExit: func(err error) { exits <- err }, Command: func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = []string{"SERVE_HASHES=" + mode}, os.Stderr
		mu.Lock()
		defer mu.Unlock()
		all = append(all, cmd)
		return cmd
	}})
	p.timeout = busyTimeout
	t.Cleanup(p.Close)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p, func() []*exec.Cmd { mu.Lock(); defer mu.Unlock(); return all }, exits
}

// newHasherWith returns a Hasher whose hashes the process computes.
func newHasherWith(t *testing.T, params Params, p *Process) *Hasher {
	t.Helper()
	return newHasher(t, Config{Params: params, Limits: wideLimits, Process: p})
}

func TestBothProcessesComputeTheSameHashes(t *testing.T) {
	t.Parallel()
	p, started, _ := startProcess(t)
	remote, local := newHasherWith(t, lowCost, p), newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	const password = "ﬁsh and 10 Å"
	hash, err := remote.Hash(t.Context(), Flow{}, password)
	if err != nil {
		t.Fatal(err)
	}
	hashes := []string{
		hash, "", "nonsense",
		"$2b$04$abcdefghijklmnopqrstuuKvY1M0GBJVBSV0aFPoRCFYmMv1oaKlW",
		"pbkdf2_sha256$1000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	}
	for _, phc := range hashes {
		for _, pw := range []string{password, "wrong"} {
			got, err := remote.Verify(t.Context(), Flow{}, pw, always(phc))
			want, wantErr := local.Verify(t.Context(), Flow{}, pw, always(phc))
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("Verify(%q, %q) = %+v, %v; want %+v, %v", pw, phc, got, err, want, wantErr)
			}
		}
	}
	if got, err := local.Verify(t.Context(), Flow{}, password, always(hash)); err != nil || !got.OK {
		t.Errorf("a hash of the process does not match in this process: %+v, %v", got, err)
	}
	bytes, err := remote.Hash(t.Context(), Flow{}, "\xff\xfe")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := local.Verify(t.Context(), Flow{}, "\xff\xfe", always(bytes)); err != nil || !got.OK {
		t.Errorf("a password that is not UTF-8 reaches the process changed: %+v, %v", got, err)
	}
	if n := len(started()); n != 1 {
		t.Errorf("%d processes were started, want 1", n)
	}
}

// TestAKilledProcessIsReplaced kills the process while it computes a hash. This hash must fail with ErrBusy, and the next hash must start
// another process.
func TestAKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	p, started, exits := startProcess(t)
	var observed recorder
	slowParams := Params{MemoryKiB: 64 << 10, Iterations: 8, Parallelism: 1}
	slow := newHasher(t, Config{Params: slowParams, Limits: wideLimits, Process: p, Observer: &observed})
	failed := make(chan error, 1)
	go func() {
		_, err := slow.Hash(context.WithoutCancel(t.Context()), Flow{}, "seven green kettles sing")
		failed <- err
	}()
	testkit.WaitFor(t, "the hash", func() bool { return slow.Running() != 0 })
	if err := started()[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, ErrBusy) {
		t.Errorf("the running hash: %v, want ErrBusy", err)
	}
	if len(observed.done) != 0 || len(observed.refused) != 1 || observed.refused[0] != RefusedProcess {
		t.Errorf("the observer gets %v and %v, want one refusal with the reason process", observed.done, observed.refused)
	}
	if err := <-exits; !strings.Contains(err.Error(), "killed") {
		t.Errorf("OnExit gets %v, want that the process was killed", err)
	}
	if _, err := newHasherWith(t, lowCost, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); err != nil {
		t.Errorf("the next hash: %v", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAHangingProcessDoesNotBlockItsCaller stops the process. A call must return at its deadline, and its slot must stay occupied until
// the process continues.
func TestAHangingProcessDoesNotBlockItsCaller(t *testing.T) {
	t.Parallel()
	p, started, _ := startProcess(t)
	h := newHasher(t, Config{Params: lowCost, Limits: Limits{Concurrency: 1, Queue: 0, MaxWait: time.Minute}, Process: p})
	const pw = "seven green kettles sing"
	if _, err := h.Hash(t.Context(), Flow{}, pw); err != nil {
		t.Fatal(err)
	}
	child := started()[0].Process
	if err := child.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Verify(ctx, Flow{}, pw, always("")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Verify = %v, want the error of its context", err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, pw); !errors.Is(err, ErrBusy) || h.Running() != 1 {
		t.Errorf("Hash = %v while %d hashes run, want ErrBusy while 1 runs", err, h.Running())
	}
	if err := child.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the end of the hash", func() bool { return h.Running() == 0 })
	if err := eventuallyHashes(h, pw); err != nil {
		t.Errorf("after the process continued: %v", err)
	}
}

// eventuallyHashes retries Hash, because a slot is released a moment after its hash, and returns the last error.
func eventuallyHashes(h *Hasher, pw string) (err error) {
	testkit.Await(context.Background(), testkit.Timeout, func() bool {
		_, err = h.Hash(context.Background(), Flow{}, pw)
		return err == nil
	})
	return err
}

func TestAFailedStartIsReported(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	p := NewProcess(ProcessConfig{Command: func() *exec.Cmd { return exec.Command(missing) }})
	if err := p.Start(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v, want that the file does not exist", err)
	}
	if _, err := p.PID(); err == nil {
		t.Error("PID returns an id while no process runs, want an error")
	}
	if _, err := newHasherWith(t, lowCost, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); !errors.Is(err, ErrBusy) {
		t.Errorf("Hash = %v, want ErrBusy, because a later start may succeed", err)
	}
	p.Close()
}

func TestAClosedProcessComputesNoHashes(t *testing.T) {
	t.Parallel()
	p, started, exits := startProcess(t)
	h := newHasherWith(t, lowCost, p)
	if err := started()[0].Process.Signal(syscall.SIGSTOP); err != nil { // Close must not depend on the process
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	if err := started()[0].Process.Signal(os.Kill); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("the process still exists: %v", err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, "seven green kettles sing"); err == nil {
		t.Error("Hash succeeds after Close, want an error")
	}
	select {
	case err := <-exits:
		t.Errorf("OnExit is called after Close: %v", err)
	default:
	}
}
