package user

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"
)

// How often the costs of the imported hashes are counted, and how soon again after a failure.
const (
	countEvery     = time.Hour
	countAgain     = time.Minute
	countAgainSoon = time.Second // while readiness waits for the first count
)

// firstCountWait is how long readiness waits for the first count. Without one, an unknown email costs as much as today's
// hashes: logins that work are worth more than what their time tells until then.
const firstCountWait = 30 * time.Second

var errNotCounted = errors.New("the costs of imported password hashes are not counted yet")

// costCount is what readiness has to know of the counts.
type costCount struct {
	settled atomic.Bool // there was a count, or readiness has waited long enough
}

// credential returns what a login with this email is checked against. One without an account gets the cost
// of one, by a number that nobody can tell who does not know the secret of tokens.
func (s *Service) credential(ctx context.Context, email string) (Credential, error) {
	cred, err := s.store.Credential(ctx, email)
	cred.number = binary.BigEndian.Uint64(s.tokens.EmailMAC(EmailKey(email)))
	return cred, err
}

// CountCosts counts what the imported hashes cost. From then on an unknown email costs as much as one of the accounts.
// Errors leave the last count in force: Unavailable, and that of ctx.
func (s *Service) CountCosts(ctx context.Context) error {
	counts, err := s.store.HashCosts(ctx)
	if err != nil {
		return err
	}
	s.hasher.SetCosts(counts)
	s.costs.settled.Store(true)
	return nil
}

// KeepCostsCounted counts at once and every hour, until ctx ends. No login waits for it.
func (s *Service) KeepCostsCounted(ctx context.Context) {
	patience := time.AfterFunc(firstCountWait, func() { s.costs.settled.Store(true) })
	defer patience.Stop()
	for ctx.Err() == nil {
		wait := time.NewTimer(s.countAndWait(ctx))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

// countAndWait makes a count and returns when to make the next one.
func (s *Service) countAndWait(ctx context.Context) time.Duration {
	err := s.CountCosts(ctx)
	switch {
	case err == nil:
		return countEvery
	case !s.costs.settled.Load(): // readiness tells of it
		return countAgainSoon
	case ctx.Err() == nil:
		s.cfg.Log.WarnContext(ctx, "the costs of imported password hashes are not counted; trying again in a minute", "error", err)
	}
	return countAgain
}

// CheckCosts returns an error, fit to be shown, while readiness waits for the first count of KeepCostsCounted.
func (s *Service) CheckCosts(context.Context) error {
	if s.costs.settled.Load() {
		return nil
	}
	return errNotCounted
}
