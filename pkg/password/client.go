package password

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// request asks for the key that the password has by the hash's parameters and salt, or whether the hash is that of the password.
type request struct {
	ID       uint64
	Derive   bool
	Hash     string
	Imported bool
	Password []byte // whatever bytes, which a string of JSON does not hold
}

// response is that to the order with its ID.
type response struct {
	ID  uint64
	OK  bool
	Key []byte
	Err string
}

// Serve computes the hashes of another process, which is a Process, until in ends. Orders come as JSON and are
// answered as JSON, each when it is done. The error is nil at the end of in.
func Serve(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var mu sync.Mutex // one answer at a time
	for {
		var o request
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		go func() {
			a := compute(o)
			mu.Lock()
			defer mu.Unlock()
			_ = answers.Encode(a) // whoever does not read it has ended, and so does in
		}()
	}
}

func compute(o request) response {
	a := response{ID: o.ID}
	var err error
	if o.Derive {
		var hash argon2id
		if hash, err = parseArgon2id(o.Hash); err == nil {
			a.Key, err = inProcess{}.derive(hash, string(o.Password))
		}
	} else {
		a.OK, err = inProcess{}.matches(Stored{Hash: o.Hash, Imported: o.Imported}, string(o.Password))
	}
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

// client sends orders to a process that serves them, and hands each answer to whoever waits for it.
type client struct {
	mu      sync.Mutex
	to      io.WriteCloser
	orders  *json.Encoder
	last    uint64
	waiting map[uint64]chan<- response // nil once no more answers come

	answered, hung atomic.Bool // whether an answer has come, and whether the process was killed for want of one
}

func newClient(to io.WriteCloser) *client {
	return &client{to: to, orders: json.NewEncoder(to), waiting: make(map[uint64]chan<- response)}
}

var errEnded = errors.New("no more answers come")

// call returns the answer to an order, or an error if none will come.
func (c *client) call(o request) (response, error) {
	came := make(chan response, 1)
	if err := c.send(o, came); err != nil {
		return response{}, err
	}
	a, ok := <-came
	if !ok {
		return response{}, errEnded
	}
	return a, nil
}

func (c *client) send(o request, came chan<- response) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		return errEnded
	}
	c.last++
	o.ID = c.last
	c.waiting[o.ID] = came
	if err := c.orders.Encode(o); err != nil { //nolint:gosec // the password has to get there
		delete(c.waiting, o.ID)
		return err
	}
	return nil
}

// read hands out the answers until no more come.
func (c *client) read(from io.ReadCloser) {
	defer func() { _ = from.Close() }()
	answers := json.NewDecoder(from)
	for {
		var a response
		if answers.Decode(&a) != nil {
			break
		}
		c.mu.Lock()
		if came := c.waiting[a.ID]; came != nil {
			came <- a
		}
		delete(c.waiting, a.ID)
		c.mu.Unlock()
	}
	c.end()
}

// end tells whoever waits that no answer will come.
func (c *client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.to.Close()
	for _, came := range c.waiting {
		close(came)
	}
	c.waiting = nil
}
