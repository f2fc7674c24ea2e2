package password

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// request asks for the key of the password (Derive), or whether the hash belongs to the password.
type request struct {
	ID       uint64
	Derive   bool
	Hash     string
	Imported bool
	Password []byte // not a string: the password may be any bytes, but a JSON string must be UTF-8
}

// response answers the request with its ID.
type response struct {
	ID  uint64
	OK  bool
	Key []byte
	Err string
}

// Serve computes hashes for a Process that runs in another program. It reads requests from in and writes responses to out, both as JSON.
// It computes requests concurrently. It returns nil at the end of in.
func Serve(in io.Reader, out io.Writer) error {
	requests, responses := json.NewDecoder(in), json.NewEncoder(out)
	var mu sync.Mutex // guards responses
	for {
		var req request
		if err := requests.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		go func() {
			resp := compute(req)
			mu.Lock()
			defer mu.Unlock()
			_ = responses.Encode(resp) // fails only after the other program has ended; then in ends too
		}()
	}
}

func compute(req request) response {
	resp := response{ID: req.ID}
	var err error
	if req.Derive {
		var hash argon2id
		if hash, err = parseArgon2id(req.Hash); err == nil {
			resp.Key, err = inProcess{}.derive(hash, string(req.Password))
		}
	} else {
		resp.OK, err = inProcess{}.matches(Stored{Hash: req.Hash, Imported: req.Imported}, string(req.Password))
	}
	if err != nil {
		resp.Err = err.Error()
	}
	return resp
}

// client sends requests to a process that runs Serve, and returns each response to its caller.
type client struct {
	mu      sync.Mutex
	in      io.WriteCloser
	encoder *json.Encoder
	last    uint64
	pending map[uint64]chan<- response // nil after the process has exited

	responded atomic.Bool // a response was received
	hung      atomic.Bool // the process was killed because a response was overdue
}

func newClient(in io.WriteCloser) *client {
	return &client{in: in, encoder: json.NewEncoder(in), pending: make(map[uint64]chan<- response)}
}

var errExited = errors.New("the hashing process has exited")

// call sends a request and returns its response. Errors: errExited, or the error of writing.
func (c *client) call(req request) (response, error) {
	reply := make(chan response, 1)
	if err := c.send(req, reply); err != nil {
		return response{}, err
	}
	resp, ok := <-reply
	if !ok {
		return response{}, errExited
	}
	return resp, nil
}

func (c *client) send(req request, reply chan<- response) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return errExited
	}
	c.last++
	req.ID = c.last
	c.pending[req.ID] = reply
	if err := c.encoder.Encode(req); err != nil { //nolint:gosec // the process needs the password
		delete(c.pending, req.ID)
		return err
	}
	return nil
}

// read delivers responses to their callers until the output of the process ends.
func (c *client) read(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	responses := json.NewDecoder(out)
	for {
		var resp response
		if responses.Decode(&resp) != nil {
			break
		}
		c.mu.Lock()
		if reply := c.pending[resp.ID]; reply != nil {
			reply <- resp
		}
		delete(c.pending, resp.ID)
		c.mu.Unlock()
	}
	c.close()
}

// close makes all pending calls fail.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.in.Close()
	for _, reply := range c.pending {
		close(reply)
	}
	c.pending = nil
}
