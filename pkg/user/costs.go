package user

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How often the costs of the accounts' hashes are counted, how soon again if the database did not answer, and for how long.
const (
	countEvery   = time.Hour
	countAgain   = time.Minute
	countTimeout = time.Minute
)

// costCount is the last count of what the accounts' hashes cost. Logins ask for it, so that none is made where
// nobody logs in.
type costCount struct {
	ctx  context.Context // of a count, which nobody but the first login waits for
	stop context.CancelFunc

	mu      sync.Mutex
	next    time.Time     // when to count; zero before the first count
	running chan struct{} // closed at the end of the count that is made now; nil if there is none
	err     error         // of the first count
}

// credential returns what a login with this email is checked against. One without an account gets the cost
// of one, by a number that nobody can tell who does not know the secret of tokens.
func (s *Service) credential(ctx context.Context, email string) (Credential, error) {
	if err := s.countCosts(ctx); err != nil {
		return Credential{}, err
	}
	cred, err := s.store.Credential(ctx, email)
	cred.number = binary.BigEndian.Uint64(s.tokens.EmailMAC(Fold(email)))
	return cred, err
}

// countCosts has the costs counted if it is time for that, and waits only if they never were. Errors: Unavailable.
func (s *Service) countCosts(ctx context.Context) error {
	c := &s.costs
	c.mu.Lock()
	first, running := c.next.IsZero(), c.running
	if running == nil && !s.now().Before(c.next) {
		running = make(chan struct{})
		c.running = running
		go s.count(running)
	}
	c.mu.Unlock()
	if !first {
		return nil
	}
	select {
	case <-running:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the first count of the costs of password hashes: %w", ctx.Err())
	}
}

// count makes a count. One that fails leaves the last one in force. Before the first one nobody logs in while the database
// does not answer. If it does and there is no count all the same, an unknown email costs as much as today's hashes.
func (s *Service) count(running chan struct{}) {
	c := &s.costs
	ctx, cancel := context.WithTimeout(c.ctx, countTimeout)
	defer cancel()
	counts, err := s.store.HashCosts(ctx)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "the costs of the password hashes are not counted", "error", err)
	} else {
		s.hasher.SetCosts(counts)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.err = nil, nil
	switch unavailable, is := errors.AsType[*Error](err); {
	case !is:
		c.next = s.now().Add(countEvery)
	case c.next.IsZero():
		c.err = unavailable // the next login counts
	default:
		c.next = s.now().Add(countAgain)
	}
	close(running)
}
