// Package testkit has helpers for the tests of several packages: they wait with a deadline, choose addresses, collect a log, and build the
// service.
package testkit

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Timeout is how long a test waits for a condition.
const Timeout = time.Minute

// interval is the time between two checks of a condition.
const interval = 10 * time.Millisecond

// WaitFor waits until the condition holds, and ends the test after [Timeout]. The name of the condition is a noun phrase,
// such as "the answer".
func WaitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !Await(context.Background(), Timeout, condition) { // not the test's context, which has ended when the test's cleanups run
		t.Fatalf("waited %s for %s", Timeout, what)
	}
}

// Await waits until the condition holds, and reports whether it did so within the limit and before ctx ended.
func Await(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !condition() {
		if !Pause(ctx, interval) {
			return false
		}
	}
	return true
}

// Receive waits for the next value or for the end of the channel, and ends the test after [Timeout].
func Receive[T any](t testing.TB, what string, values <-chan T) (value T) {
	t.Helper()
	timer := time.NewTimer(Timeout)
	defer timer.Stop()
	select {
	case value = <-values:
	case <-timer.C:
		t.Fatalf("waited %s for %s", Timeout, what)
	}
	return value
}

// Pause waits for d, and reports whether ctx is still valid. Use Pause to space out requests and faults. To wait for a condition, use
// [WaitFor].
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// ports are the ports that FreeAddress returns next. A process owns the ports of a block while it listens on the first one. So test
// processes that run concurrently get different ports.
var ports struct {
	mu        sync.Mutex
	next, end int
	owned     []net.Listener
}

// The ports are below those that systems give to outgoing connections.
const (
	firstPort  = 10_000
	portBlocks = 200
	blockSize  = 50
)

// FreeAddress returns an address on which a process can listen repeatedly.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 1000 {
		if ports.next == ports.end && !ownPorts() {
			continue
		}
		ports.next++
		if l, err := listen(ports.next - 1); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// ownPorts chooses a block of ports, and reports whether no other process owns it.
func ownPorts() bool {
	first := firstPort + blockSize*rand.N(portBlocks) //nolint:gosec // any block
	l, err := listen(first)
	if err != nil {
		return false
	}
	ports.owned = append(ports.owned, l)
	ports.next, ports.end = first+1, first+blockSize
	return true
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // does not block
}

// Buffer is a log that a test reads while it is written. The zero value is empty.
type Buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements [io.Writer].
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

// String returns the text so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// Tail returns the last n lines.
func (b *Buffer) Tail(n int) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
