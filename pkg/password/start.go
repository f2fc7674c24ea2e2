package password

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// responseTimeout is the maximum time of the hashing process for one hash. After this time, the process is killed. It is about five
	// times the time of a request, and every hash should take less than the time of a request.
	responseTimeout = 10 * time.Second
	// minRestart is the delay after the first failed start. The delay doubles with each further failure, up to maxRestart.
	minRestart = time.Second
	maxRestart = 10 * time.Second
)

// StartError means that the hashing process can't be started. It wraps ErrBusy: the same call may succeed later.
type StartError struct {
	Retry time.Duration // the time until the next attempt to start a process
	Err   error
}

// Error returns the cause and what an operator can do.
func (e *StartError) Error() string {
	return fmt.Sprintf("the hashing process can't be started: %v; %s", e.Err, advice(e.Err))
}

// Unwrap returns ErrBusy and the cause.
func (e *StartError) Unwrap() []error { return []error{ErrBusy, e.Err} }

// advice returns what an operator can do about a failed start.
func advice(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return "check that the file of this program exists and is executable, and restart the service"
	case errors.Is(err, syscall.ENOMEM):
		return "give the service more memory"
	case errors.Is(err, syscall.EAGAIN):
		return "raise the limit of processes (pids.max, ulimit -u)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files (ulimit -n)"
	default:
		return "see the log for the exit status of the process"
	}
}

// startBackoff decides when a process may be started. The zero value allows a start immediately.
type startBackoff struct {
	failures int // consecutive
	earliest time.Time
	err      error // the error of the last failure
}

// check returns a StartError until the next attempt is due.
func (b *startBackoff) check() error {
	if wait := time.Until(b.earliest); wait > 0 {
		return &StartError{Retry: wait, Err: b.err}
	}
	return nil
}

// reset records that a process has responded.
func (b *startBackoff) reset() { *b = startBackoff{} }

// failed records that a process could not be started.
func (b *startBackoff) failed(err error) *StartError {
	b.err = err
	delay := min(minRestart<<min(b.failures, 10), maxRestart)
	b.failures++
	b.earliest = time.Now().Add(delay)
	return &StartError{Retry: delay, Err: err}
}

// exitedEarly records that a process exited before its first response. The first such exit may be an accident, and causes no delay.
func (b *startBackoff) exitedEarly(err error) {
	if b.failures > 0 {
		_ = b.failed(err) // the next call of check returns the error
		return
	}
	b.failures = 1
}
