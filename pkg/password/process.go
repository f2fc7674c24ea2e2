package password

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// ProcessConfig configures a Process.
type ProcessConfig struct {
	// Command returns a new command that runs Serve on its standard input and output. It must be set.
	Command func() *exec.Cmd
	// OnExit is called when a process exits without Close. It may be nil.
	OnExit func(error)
	// OnStartError is called for each failed attempt to start a process. It may be nil.
	OnStartError func(*StartError)
}

// Process computes hashes in a separate operating-system process with a lower priority, the hashing process. If the hashing process
// exits, the next hash starts another one. If it does not respond within responseTimeout, it is killed. A Process is safe for concurrent
// use.
type Process struct {
	cfg     ProcessConfig
	timeout time.Duration // for one response

	mu      sync.Mutex
	current *client // nil while no process runs
	process *os.Process
	closed  bool
	backoff startBackoff
	running sync.WaitGroup
}

// NewProcess returns a Process. The hashing process starts with the first hash, or with Start.
func NewProcess(cfg ProcessConfig) *Process { return &Process{cfg: cfg, timeout: responseTimeout} }

// Start starts the hashing process before the first hash. Errors: StartError.
func (p *Process) Start() error {
	_, err := p.connect()
	return err
}

var errNotRunning = errors.New("no hashing process is running")

// PID returns the id of the hashing process. It fails while none runs.
func (p *Process) PID() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return 0, errNotRunning
	}
	return p.process.Pid, nil
}

// Close kills the hashing process, and waits until it has exited. Hashes in progress fail.
func (p *Process) Close() {
	p.mu.Lock()
	p.closed = true
	if p.current != nil {
		_ = p.process.Kill() // closing its input is not enough, because the process may be stopped or busy
	}
	p.mu.Unlock()
	p.running.Wait()
}

var errClosed = errors.New("the hashing process is closed")

// connect returns the client of the process, and starts a process if none runs. Errors: errClosed, StartError.
func (p *Process) connect() (*client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errClosed
	case p.current != nil:
		return p.current, nil
	}
	if err := p.backoff.check(); err != nil {
		return nil, err
	}
	if err := p.launch(); err != nil {
		failure := p.backoff.failed(err)
		if p.cfg.OnStartError != nil {
			p.cfg.OnStartError(failure)
		}
		return nil, failure
	}
	return p.current, nil
}

// launch starts a hashing process.
func (p *Process) launch() error {
	cmd := p.cfg.Command()
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("create a pipe: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		_ = in.Close()
		return fmt.Errorf("create a pipe: %w", err)
	}
	if err := startLowPriority(cmd); err != nil {
		return err
	}
	c := newClient(in)
	p.current, p.process = c, cmd.Process
	p.running.Go(func() { c.read(out) })
	p.running.Go(func() { p.waitForExit(cmd, c) })
	return nil
}

// waitForExit waits until the process exits, and reports it.
func (p *Process) waitForExit(cmd *exec.Cmd, c *client) {
	state, err := cmd.Process.Wait() // cmd.Wait would close the output before all of it is read
	if err == nil {
		err = errors.New(state.String())
	}
	p.mu.Lock()
	if p.current == c {
		p.current = nil
	}
	if c.hung.Load() {
		err = fmt.Errorf("%w, after %s without a response", err, p.timeout)
	}
	if !c.responded.Load() {
		p.backoff.exitedEarly(err)
	}
	closed := p.closed
	p.mu.Unlock()
	if !closed && p.cfg.OnExit != nil {
		p.cfg.OnExit(err)
	}
}

// call sends a request to the hashing process and returns the response. Errors: ErrBusy, if the process exits or can't be started,
// because the next call may succeed.
func (p *Process) call(req request) (response, error) {
	c, err := p.connect()
	if err != nil {
		return response{}, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	kill := time.AfterFunc(p.timeout, func() { p.killHung(c) })
	resp, err := c.call(req)
	kill.Stop()
	switch {
	case err != nil:
		return response{}, fmt.Errorf("%w: %w", ErrBusy, err)
	case resp.Err != "":
		return response{}, errors.New(resp.Err)
	}
	if c.responded.CompareAndSwap(false, true) {
		p.mu.Lock()
		p.backoff.reset()
		p.mu.Unlock()
	}
	return resp, nil
}

// killHung kills a process that does not respond. The next hash starts another one immediately.
func (p *Process) killHung(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == c {
		c.hung.Store(true)
		p.current = nil
		_ = p.process.Kill() // fails only if the process has already exited
	}
}

func (p *Process) derive(hash argon2id, password string) ([]byte, error) {
	resp, err := p.call(request{Derive: true, Hash: hash.String(), Password: []byte(password)})
	return resp.Key, err
}

func (p *Process) matches(s Stored, password string) (bool, error) {
	resp, err := p.call(request{Hash: s.Hash, Imported: s.Imported, Password: []byte(password)})
	return resp.OK, err
}
