package password

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Process computes hashes in a process of its own, which the system puts behind
// the rest of the service. One that ends is started again for the next hash, and one that gives no answer for 10 s is killed. It is
// safe for concurrent use.
type Process struct {
	// Command returns what to start: a program that calls Serve with its standard input and
	// output. Mandatory.
	Command func() *exec.Cmd
	// OnExit is told how a process ended that was not closed. It may be nil.
	OnExit func(error)
	// Unstarted is told that a process could not be started, once for each try. It may be nil.
	Unstarted func(*StartError)

	mu       sync.Mutex
	calls    *client // nil while no process runs
	process  *os.Process
	closed   bool
	restarts restarts
	running  sync.WaitGroup
	hang     time.Duration // 0 means hangTime
}

// Start starts the process ahead of the first hash. It is a StartError if that can't be done.
func (p *Process) Start() error {
	_, err := p.client()
	return err
}

var errNone = errors.New("no process hashes at this moment")

// PID returns the process that hashes, or an error while there is none.
func (p *Process) PID() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		return 0, errNone
	}
	return p.process.Pid, nil
}

// Close ends the process, what it computes included, and waits for its end.
func (p *Process) Close() {
	p.mu.Lock()
	p.closed = true
	if p.calls != nil {
		_ = p.process.Kill() // it may be stopped, or busy with what nobody waits for
	}
	p.mu.Unlock()
	p.running.Wait()
}

var errClosed = errors.New("the process that hashes is closed")

// client returns the way to the process, and starts one if none runs. After a failure it waits for the time of the next try.
func (p *Process) client() (*client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errClosed
	case p.calls != nil:
		return p.calls, nil
	}
	if err := p.restarts.check(); err != nil {
		return nil, err
	}
	if err := p.launch(); err != nil {
		failure := p.restarts.failed(err)
		if p.Unstarted != nil {
			p.Unstarted(failure)
		}
		return nil, failure
	}
	return p.calls, nil
}

// launch starts a process.
func (p *Process) launch() error {
	cmd := p.Command()
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		_ = in.Close()
		return fmt.Errorf("make a pipe: %w", err)
	}
	if err := startLowPriority(cmd); err != nil {
		return err
	}
	calls := newClient(in)
	p.calls, p.process = calls, cmd.Process
	p.running.Go(func() { calls.read(out) })
	p.running.Go(func() { p.waitForExit(cmd, calls) })
	return nil
}

// waitForExit waits for the end of a process.
func (p *Process) waitForExit(cmd *exec.Cmd, calls *client) {
	state, err := cmd.Process.Wait() // not cmd.Wait, which would close the output before all of it is read
	if err == nil {
		err = errors.New(state.String())
	}
	p.mu.Lock()
	if p.calls == calls {
		p.calls = nil
	}
	if calls.hung.Load() {
		err = fmt.Errorf("%w, after %s without an answer", err, p.patience())
	}
	if !calls.answered.Load() {
		p.restarts.ended(err)
	}
	closed := p.closed
	p.mu.Unlock()
	if !closed && p.OnExit != nil {
		p.OnExit(err)
	}
}

// call has one hash computed. It is ErrBusy if the process ends meanwhile, or can't be started: the next one may find another.
func (p *Process) call(o request) (response, error) {
	calls, err := p.client()
	if err != nil {
		return response{}, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	hung := time.AfterFunc(p.patience(), func() { p.replace(calls) })
	a, err := calls.call(o)
	hung.Stop()
	switch {
	case err != nil:
		return response{}, fmt.Errorf("%w: the process that hashes has ended: %w", ErrBusy, err)
	case a.Err != "":
		return response{}, errors.New(a.Err)
	}
	if calls.answered.CompareAndSwap(false, true) {
		p.mu.Lock()
		p.restarts.worked()
		p.mu.Unlock()
	}
	return a, nil
}

// replace kills a process that does not answer. The next hash starts another one at once.
func (p *Process) replace(calls *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == calls {
		calls.hung.Store(true)
		p.calls = nil
		_ = p.process.Kill() // unless it has ended by itself
	}
}

func (p *Process) patience() time.Duration {
	if p.hang > 0 {
		return p.hang
	}
	return hangTime
}

func (p *Process) derive(hash argon2id, password string) ([]byte, error) {
	a, err := p.call(request{Derive: true, Hash: hash.String(), Password: []byte(password)})
	return a.Key, err
}

func (p *Process) matches(s Stored, password string) (bool, error) {
	a, err := p.call(request{Hash: s.Hash, Imported: s.Imported, Password: []byte(password)})
	return a.OK, err
}
