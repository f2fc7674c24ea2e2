package rabbitmq

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// recorder is a connection that records its writes. After limit writes, a write fails.
type recorder struct {
	net.Conn

	writes []string
	limit  int
}

var errFull = errors.New("full")

func (r *recorder) Write(p []byte) (int, error) {
	if len(r.writes) == r.limit {
		return 0, errFull
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func TestACorkedConnectionCollectsWrites(t *testing.T) {
	t.Parallel()
	socket := &recorder{limit: 100}
	c := &corkable{Conn: socket}
	write := func(text string) {
		t.Helper()
		if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("Write returns %d, %v, want %d, nil", n, err, len(text))
		}
	}
	write("a")
	c.cork()
	write("b")
	write("c")
	if len(socket.writes) != 1 {
		t.Errorf("the writes are %q before uncork, want only the first", socket.writes)
	}
	if err := c.uncork(); err != nil {
		t.Error(err)
	}
	write("d")
	if got := strings.Join(socket.writes, " "); got != "a bc d" {
		t.Errorf("the writes are %q, want %q", got, "a bc d")
	}
}

func TestACorkedConnectionWritesWhatItCantHold(t *testing.T) {
	t.Parallel()
	socket := &recorder{limit: 1}
	c := &corkable{Conn: socket}
	c.cork()
	if _, err := c.Write(make([]byte, corkSize)); err != nil || len(socket.writes) != 1 {
		t.Errorf("%d writes, %v, want one for a full buffer", len(socket.writes), err)
	}
	if _, err := c.Write(make([]byte, corkSize)); !errors.Is(err, errFull) {
		t.Errorf("the error of a failed write is %v, want %v", err, errFull)
	}
	c.cork()
	if _, err := c.Write([]byte("a")); err != nil {
		t.Error(err)
	}
	if err := c.uncork(); !errors.Is(err, errFull) {
		t.Errorf("the error of uncork is %v, want %v", err, errFull)
	}
}
