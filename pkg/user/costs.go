package user

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"
)

// The intervals between two counts of the costs of imported hashes.
const (
	countEvery     = time.Hour
	countAgain     = time.Minute // after a failure
	countAgainSoon = time.Second // after a failure while readiness waits for the first count
)

// firstCountWait is the maximum time for which readiness waits for the first count. After that time, the service becomes ready even
// without a count. Until the first count, a login with an unknown email costs as much as a hash with the current parameters. So its
// response time may reveal that the email is unknown. This is accepted, because users must be able to log in.
const firstCountWait = 30 * time.Second

var errNotCounted = errors.New("the costs of imported password hashes are not counted yet")

// costCount is the state of the first count.
type costCount struct {
	settled atomic.Bool // the first count has succeeded, or readiness has waited for firstCountWait
}

// credential returns the credential of an email. For an unknown email, a MAC of the email determines the cost of the hash. Only the owner
// of the token secret can compute this MAC.
func (s *Service) credential(ctx context.Context, email string) (Credential, error) {
	cred, err := s.store.Credential(ctx, email)
	cred.number = binary.BigEndian.Uint64(s.tokens.EmailMAC(EmailKey(email)))
	return cred, err
}

// CountCosts counts the costs of the imported hashes. From then on, a login with an unknown email costs as much as a login to one of the
// accounts. After an error, the previous count stays in force. Errors: Unavailable, and the error of ctx.
func (s *Service) CountCosts(ctx context.Context) error {
	counts, err := s.store.HashCosts(ctx)
	if err != nil {
		return err
	}
	s.hasher.SetCosts(counts)
	s.costs.settled.Store(true)
	return nil
}

// KeepCostsCounted counts immediately and then every hour, until ctx ends. Logins do not wait for it.
func (s *Service) KeepCostsCounted(ctx context.Context) {
	settle := time.AfterFunc(firstCountWait, func() { s.costs.settled.Store(true) })
	defer settle.Stop()
	for ctx.Err() == nil {
		wait := time.NewTimer(s.countAndWait(ctx))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

// countAndWait counts and returns the time until the next count.
func (s *Service) countAndWait(ctx context.Context) time.Duration {
	err := s.CountCosts(ctx)
	switch {
	case err == nil:
		return countEvery
	case !s.costs.settled.Load(): // readiness reports the failure
		return countAgainSoon
	case ctx.Err() == nil:
		s.cfg.Log.WarnContext(ctx, "the costs of imported password hashes are not counted; trying again in a minute", "error", err)
	}
	return countAgain
}

// CheckCosts returns an error without secrets while readiness waits for the first count of KeepCostsCounted.
func (s *Service) CheckCosts(context.Context) error {
	if s.costs.settled.Load() {
		return nil
	}
	return errNotCounted
}
