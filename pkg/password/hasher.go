// Package password hashes passwords within bounds and knows what a good one is.
package password

import (
	"context"
	"fmt"
)

// Result is what a verification found out.
type Result struct {
	OK     bool // the password is the right one
	Rehash bool // the stored hash is not by today's parameters: if OK, store a new one
}

// Hasher makes and checks argon2id hashes, a bounded number at once. It is safe for
// concurrent use.
type Hasher struct {
	params  Params
	queue   *queue
	nothing argon2id // what the passwords of unknown accounts are checked against
}

// NewHasher returns a Hasher that makes hashes by these parameters, within these limits.
// The observer may be nil. It is an error if a parameter or a limit is out of bounds.
func NewHasher(p Params, l Limits, o Observer) (*Hasher, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return &Hasher{params: p, queue: newQueue(l, o), nothing: newArgon2id(p)}, nil
}

// Running returns how many hashes are being computed at this moment.
func (h *Hasher) Running() int64 { return h.queue.running.Load() }

// Waiting returns how many hashes wait for their turn at this moment.
func (h *Hasher) Waiting() int64 { return int64(len(h.queue.places)) }

// Hash returns the PHC string of a password, with a salt of its own. Errors: ErrBusy, or
// that of ctx.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	made := newArgon2id(h.params)
	if err := h.run(ctx, made, func() { made.key = made.derive(password) }); err != nil {
		return "", err
	}
	return made.String(), nil
}

// Verify checks a password against a stored PHC string. A string that can't be read
// costs the work of today's parameters and gives ErrUnknownFormat, so that time does not
// tell of a broken account. Other errors: ErrBusy, or that of ctx.
func (h *Hasher) Verify(ctx context.Context, password, phc string) (Result, error) {
	hash, err := parse(phc)
	if err != nil {
		if _, refused := h.check(ctx, password, h.nothing); refused != nil {
			return Result{}, refused
		}
		return Result{}, fmt.Errorf("%w: %w", ErrUnknownFormat, err)
	}
	return h.check(ctx, password, hash)
}

// VerifyNothing does the work of Verify against a hash by today's parameters, for an account
// that does not exist, so that the time of an answer does not tell. Errors: ErrBusy, or
// that of ctx.
func (h *Hasher) VerifyNothing(ctx context.Context, password string) error {
	_, err := h.check(ctx, password, h.nothing)
	return err
}

func (h *Hasher) check(ctx context.Context, password string, hash stored) (Result, error) {
	result := Result{Rehash: !hash.madeBy(h.params)}
	if err := h.run(ctx, hash, func() { result.OK = hash.matches(password) }); err != nil {
		return Result{}, err
	}
	return result, nil
}

// run does the work of a hash when its turn comes. The turn ends when its memory is free again.
func (h *Hasher) run(ctx context.Context, hash stored, work func()) error {
	return h.queue.run(ctx, h.turns(hash), func() {
		work()
		reclaim(hash.memoryKiB())
	})
}

// turns returns how many turns a hash takes: one by today's parameters, more for one that
// needs more memory, so that imported hashes don't add up to more memory than planned. One
// that needs more than all turns have runs alone.
func (h *Hasher) turns(hash stored) int64 {
	need := (hash.memoryKiB() + h.params.MemoryKiB - 1) / h.params.MemoryKiB
	return min(max(int64(need), 1), int64(h.queue.limits.Concurrency))
}
