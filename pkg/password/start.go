package password

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// hangTime is how long a hash may take in the process before that is taken for hung. What a hash may cost is bounded by the
	// time of a request, which is a fifth of it.
	hangTime = 10 * time.Second
	// minRestart is the delay after a process that could not be started. It doubles with each further one, up to maxRestart.
	minRestart = time.Second
	maxRestart = 10 * time.Second
)

// StartError tells that no process hashes, as none can be started. It is an ErrBusy too: the same call may succeed later.
type StartError struct {
	// Retry is the time until the next try. Nothing is started before.
	Retry time.Duration
	Err   error
}

// Error tells why, and what to do about it.
func (e *StartError) Error() string {
	return fmt.Sprintf("the process that hashes passwords can't be started: %v; %s", e.Err, advice(e.Err))
}

// Unwrap returns ErrBusy and the cause.
func (e *StartError) Unwrap() []error { return []error{ErrBusy, e.Err} }

// advice tells what to do so that a process can be started.
func advice(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return "see that the file of this program is there and may be executed, and restart the service"
	case errors.Is(err, syscall.ENOMEM):
		return "give the service more memory"
	case errors.Is(err, syscall.EAGAIN):
		return "raise the limit of processes (pids.max, ulimit -u)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit of open files (ulimit -n)"
	default:
		return "see the log for how it ended"
	}
}

// restarts says when a process may be started. The zero value allows one now.
type restarts struct {
	failures int // in a row
	earliest time.Time
	err      error // the last one
}

// check returns a StartError before the next try is due.
func (r *restarts) check() error {
	if wait := time.Until(r.earliest); wait > 0 {
		return &StartError{Retry: wait, Err: r.err}
	}
	return nil
}

// worked notes that a process has answered.
func (r *restarts) worked() { *r = restarts{} }

// failed notes that a process could not be started.
func (r *restarts) failed(err error) *StartError {
	r.err = err
	delay := min(minRestart<<min(r.failures, 10), maxRestart)
	r.failures++
	r.earliest = time.Now().Add(delay)
	return &StartError{Retry: delay, Err: err}
}

// ended notes that a process ended before it answered anything. The first one may have been hit by chance.
func (r *restarts) ended(err error) {
	if r.failures > 0 {
		_ = r.failed(err) // the next caller is told
		return
	}
	r.failures = 1
}
