package password

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// Process computes hashes in a process of its own, which the system puts behind
// the rest of the service. One that ends is started again for the next hash. It is safe for concurrent use.
type Process struct {
	// Command returns what to start: a program that calls Serve with its standard input and
	// output. Mandatory.
	Command func() *exec.Cmd
	// Ended is told how a process ended that was not closed. It may be nil.
	Ended func(error)

	mu      sync.Mutex
	calls   *caller // nil while no process runs
	process *os.Process
	closed  bool
	running sync.WaitGroup
}

// Start starts the process ahead of the first hash. It is an error if that can't be done.
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

// client returns the way to the process, and starts one if none runs.
func (p *Process) client() (*caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.calls != nil {
		return p.calls, nil
	}
	cmd := p.Command()
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, fmt.Errorf("reach the process that hashes: %w", err)
	}
	if err := startBehind(cmd); err != nil {
		return nil, fmt.Errorf("start the process that hashes: %w", err)
	}
	calls := newCaller(in)
	p.calls, p.process = calls, cmd.Process
	p.running.Go(func() { calls.read(out) })
	p.running.Go(func() { p.attend(cmd) })
	return calls, nil
}

// attend waits for the end of a process.
func (p *Process) attend(cmd *exec.Cmd) {
	state, err := cmd.Process.Wait() // not cmd.Wait, which would close the output before all of it is read

	p.mu.Lock()
	p.calls = nil
	closed := p.closed
	p.mu.Unlock()
	if err == nil {
		err = errors.New(state.String())
	}
	if !closed && p.Ended != nil {
		p.Ended(err)
	}
}

// call has one hash computed. It is ErrBusy if the process ends meanwhile, or can't be started: the next one may find another.
func (p *Process) call(o order) (answer, error) {
	calls, err := p.client()
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	a, err := calls.call(o)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%w: the process that hashes has ended: %w", ErrBusy, err)
	case a.Err != "":
		return answer{}, errors.New(a.Err)
	}
	return a, nil
}

func (p *Process) derive(hash argon2id, password string) ([]byte, error) {
	a, err := p.call(order{Derive: true, Hash: hash.String(), Password: []byte(password)})
	return a.Key, err
}

func (p *Process) matches(s Stored, password string) (bool, error) {
	a, err := p.call(order{Hash: s.Hash, Imported: s.Imported, Password: []byte(password)})
	return a.OK, err
}
