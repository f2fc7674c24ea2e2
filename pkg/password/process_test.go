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
)

// TestMain makes this program one that hashes, if a test starts it as such.
func TestMain(m *testing.M) {
	switch os.Getenv("SERVE_HASHES") {
	case "":
		os.Exit(m.Run())
	case "never": // it reads, and gives no answer
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	case "exit":
		return
	}
	if err := Serve(os.Stdin, os.Stdout); err != nil {
		panic(err)
	}
}

// hashing returns a Process, and what starts came of it so far.
func hashing(t *testing.T) (p *Process, started func() []*exec.Cmd, ended chan error) {
	t.Helper()
	return serving(t, "yes")
}

// busyTime is how long a process may take for a hash on a busy machine.
const busyTime = time.Minute

// serving is hashing with a process that does what TestMain says.
func serving(t *testing.T, how string) (p *Process, started func() []*exec.Cmd, ended chan error) {
	t.Helper()
	var mu sync.Mutex
	var all []*exec.Cmd
	ended = make(chan error, 10)
	p = &Process{hang: busyTime, OnExit: func(err error) { ended <- err }, Command: func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = []string{"SERVE_HASHES=" + how}, os.Stderr
		mu.Lock()
		defer mu.Unlock()
		all = append(all, cmd)
		return cmd
	}}
	t.Cleanup(p.Close)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p, func() []*exec.Cmd { mu.Lock(); defer mu.Unlock(); return all }, ended
}

// delegating returns a Hasher that has its hashes computed by the process.
func delegating(t *testing.T, params Params, p *Process) *Hasher {
	t.Helper()
	h := newHasher(t, params, ample, nil)
	h.Delegate(p)
	return h
}

func TestAProcessHashesAsThisOneDoes(t *testing.T) {
	t.Parallel()
	p, started, _ := hashing(t)
	there, here := delegating(t, cheap, p), newHasher(t, cheap, ample, nil)
	const right = "ﬁsh and 10 Å"
	made, err := there.Hash(t.Context(), Flow{}, right)
	if err != nil {
		t.Fatal(err)
	}
	hashes := []string{
		made, "", "nonsense",
		"$2b$04$abcdefghijklmnopqrstuuKvY1M0GBJVBSV0aFPoRCFYmMv1oaKlW",
		"pbkdf2_sha256$1000$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	}
	for _, phc := range hashes {
		for _, pw := range []string{right, "wrong"} {
			got, err := there.Verify(t.Context(), Flow{}, pw, always(phc))
			want, wantErr := here.Verify(t.Context(), Flow{}, pw, always(phc))
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("Verify(%q, %q) = %+v, %v; want %+v, %v", pw, phc, got, err, want, wantErr)
			}
		}
	}
	if got, err := here.Verify(t.Context(), Flow{}, right, always(made)); err != nil || !got.OK {
		t.Errorf("what the process made is not taken here: %+v, %v", got, err)
	}
	bytes, err := there.Hash(t.Context(), Flow{}, "\xff\xfe")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := here.Verify(t.Context(), Flow{}, "\xff\xfe", always(bytes)); err != nil || !got.OK {
		t.Errorf("bytes that are no text are changed on the way: %+v, %v", got, err)
	}
	if n := len(started()); n != 1 {
		t.Errorf("%d processes were started", n)
	}
}

// TestAProcessThatDiesIsReplaced kills it while it hashes.
func TestAProcessThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	p, started, ended := hashing(t)
	var seen recorder
	slow := newHasher(t, Params{MemoryKiB: 64 << 10, Iterations: 8, Parallelism: 1}, ample, &seen)
	slow.Delegate(p)
	failed := make(chan error, 1)
	go func() {
		_, err := slow.Hash(context.WithoutCancel(t.Context()), Flow{}, "seven green kettles sing")
		failed <- err
	}()
	for slow.Running() == 0 {
		<-time.After(time.Millisecond)
	}
	if err := started()[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, ErrBusy) {
		t.Errorf("the hash under way ends with %v, want ErrBusy", err)
	}
	if len(seen.done) != 0 || len(seen.refused) != 1 || seen.refused[0] != RefusedProcess {
		t.Errorf("the observer is told of %v and %v, want a refusal for the process", seen.done, seen.refused)
	}
	if err := <-ended; !strings.Contains(err.Error(), "killed") {
		t.Errorf("the end is told as %v", err)
	}
	if _, err := delegating(t, cheap, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); err != nil {
		t.Errorf("the next hash: %v", err)
	}
	if n := len(started()); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

// TestAProcessThatHangsKeepsNobodyWaiting stops it: whoever asked gives up in time, and the turn is not given to another.
func TestAProcessThatHangsKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	p, started, _ := hashing(t)
	h := newHasher(t, cheap, Limits{Concurrency: 1, Queue: 0, MaxWait: time.Minute}, nil)
	h.Delegate(p)
	const pw = "seven green kettles sing"
	if _, err := h.Hash(t.Context(), Flow{}, pw); err != nil {
		t.Fatal(err)
	}
	child := started()[0].Process
	if err := child.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	patience, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Verify(patience, Flow{}, pw, always("")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Verify = %v, want the error of its context", err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, pw); !errors.Is(err, ErrBusy) || h.Running() != 1 {
		t.Errorf("Hash = %v beside %d that run, want ErrBusy beside 1", err, h.Running())
	}
	if err := child.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for h.Running() != 0 {
		<-time.After(time.Millisecond)
	}
	if err := eventuallyHashes(h, pw); err != nil {
		t.Errorf("after it went on: %v", err)
	}
}

// eventuallyHashes returns the error of the last of some tries: a turn ends a moment after its hash.
func eventuallyHashes(h *Hasher, pw string) (err error) {
	for range 100 {
		if _, err = h.Hash(context.Background(), Flow{}, pw); err == nil {
			return nil
		}
		<-time.After(10 * time.Millisecond)
	}
	return err
}

func TestAProcessThatCannotBeStartedIsToldOf(t *testing.T) {
	t.Parallel()
	p := &Process{Command: func() *exec.Cmd { return exec.Command(filepath.Join(t.TempDir(), "missing")) }}
	if err := p.Start(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v", err)
	}
	if _, err := p.PID(); err == nil {
		t.Error("a process that does not run has a number")
	}
	if _, err := delegating(t, cheap, p).Hash(t.Context(), Flow{}, "seven green kettles sing"); !errors.Is(err, ErrBusy) {
		t.Errorf("Hash = %v, want ErrBusy: the next one may find a process", err)
	}
	p.Close()
}

func TestAClosedProcessHashesNoMore(t *testing.T) {
	t.Parallel()
	p, started, ended := hashing(t)
	h := delegating(t, cheap, p)
	if err := started()[0].Process.Signal(syscall.SIGSTOP); err != nil { // not even this one outlives it
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	if err := started()[0].Process.Signal(os.Kill); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := h.Hash(t.Context(), Flow{}, "seven green kettles sing"); err == nil {
		t.Error("a closed process hashes")
	}
	select {
	case err := <-ended:
		t.Errorf("an end that was asked for is told of: %v", err)
	default:
	}
}
