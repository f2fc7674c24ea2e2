package password

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os/exec"
	"sync"
)

// Process computes hashes in a process of its own, to which the system gives the CPU time that
// nobody else in the service wants. One that ends is started again for the next hash. It is safe for concurrent use.
type Process struct {
	// Command returns what to start: a program that calls Serve with its standard input and
	// output. Mandatory.
	Command func() *exec.Cmd
	// Ended is told how a process ended that was not closed. It may be nil.
	Ended func(error)

	mu      sync.Mutex
	calls   *rpc.Client // nil while no process runs
	closed  bool
	running sync.WaitGroup
}

// Start starts the process ahead of the first hash. It is an error if that can't be done.
func (p *Process) Start() error {
	_, err := p.client()
	return err
}

// Close ends the process, what it computes included, and waits for its end.
func (p *Process) Close() {
	p.mu.Lock()
	p.closed = true
	if p.calls != nil {
		_ = p.calls.Close() // which Serve sees
	}
	p.mu.Unlock()
	p.running.Wait()
}

var errClosed = errors.New("the process that hashes is closed")

// client returns the way to the process, and starts one if none runs.
func (p *Process) client() (*rpc.Client, error) {
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
	if err := startIdle(cmd); err != nil {
		return nil, fmt.Errorf("start the process that hashes: %w", err)
	}
	p.calls = rpc.NewClient(pipes{out, in})
	p.running.Go(func() { p.attend(cmd, p.calls) })
	return p.calls, nil
}

// attend waits for the end of a process.
func (p *Process) attend(cmd *exec.Cmd, calls *rpc.Client) {
	state, err := cmd.Process.Wait() // not cmd.Wait, which would close the output before all of it is read
	_ = calls.Close()

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

// call has one hash computed. It is ErrBusy if the process ends meanwhile: the next one finds another.
func (p *Process) call(method string, o Order, result any) error {
	calls, err := p.client()
	if err != nil {
		return err
	}
	err = calls.Call("Orders."+method, o, result)
	if _, refused := errors.AsType[rpc.ServerError](err); err != nil && !refused {
		return fmt.Errorf("%w: the process that hashes has ended: %w", ErrBusy, err)
	}
	return err
}

func (p *Process) derive(hash argon2id, password string) (key []byte, err error) {
	err = p.call("Derive", Order{Hash: hash.String(), Password: password}, &key)
	return key, err
}

func (p *Process) matches(phc, password string) (ok bool, err error) {
	err = p.call("Matches", Order{Hash: phc, Password: password}, &ok)
	return ok, err
}

// Serve computes the hashes of another process, which is a Process, until in ends.
func Serve(in io.ReadCloser, out io.WriteCloser) error {
	server := rpc.NewServer()
	if err := server.Register(Orders{}); err != nil {
		return fmt.Errorf("serve hashes: %w", err)
	}
	server.ServeConn(pipes{in, out})
	return nil
}

// Order is a hash to be computed.
type Order struct{ Hash, Password string }

// Orders is what Serve offers, in the form that net/rpc asks for.
type Orders struct{}

// Derive returns the key that the password has by the parameters and the salt of an argon2id hash.
func (Orders) Derive(o Order, key *[]byte) error {
	hash, err := parseArgon2id(o.Hash)
	if err != nil {
		return err
	}
	*key, err = here{}.derive(hash, o.Password)
	return err
}

// Matches reports whether the hash is that of the password.
func (Orders) Matches(o Order, ok *bool) (err error) {
	*ok, err = here{}.matches(o.Hash, o.Password)
	return err
}

// pipes are both directions of one connection.
type pipes struct {
	io.ReadCloser
	to io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.to.Write(b) }

func (p pipes) Close() error { return errors.Join(p.to.Close(), p.ReadCloser.Close()) }
