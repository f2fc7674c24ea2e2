package rabbitmq

import (
	"net"
	"sync"
)

// corkSize is the number of bytes that a corked connection collects before it writes them.
const corkSize = 32 << 10

// corkable is a connection that can collect small writes into large ones, as TCP_CORK does. amqp091-go writes each message separately. For
// a batch, that would cost the service and the broker a system call for each message.
type corkable struct {
	net.Conn

	mu     sync.Mutex
	corked bool
	buf    []byte
}

// Write implements net.Conn. While the connection is corked, an error may belong to earlier writes.
func (c *corkable) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	if len(c.buf) < corkSize {
		return len(p), nil
	}
	return len(p), c.flush()
}

// cork makes the connection collect writes until uncork is called.
func (c *corkable) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

// uncork writes what the connection has collected.
func (c *corkable) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	return c.flush()
}

func (c *corkable) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}
