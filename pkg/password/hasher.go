// Package password hashes passwords within bounds and knows what a good one is.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/text/unicode/norm"
)

// Errors of a Hasher.
var (
	// ErrBusy means that too many hashes wait already, or that this one waited too long.
	ErrBusy = errors.New("too many passwords are being hashed")
	// ErrUnknownFormat means that a stored hash can't be read: nobody can log in with it.
	ErrUnknownFormat = errors.New("unknown password hash format")
)

// Limits bound what hashing may cost: memory by Concurrency, and waiting by Queue and MaxWait.
type Limits struct {
	Concurrency int           // hashes that run at once
	Queue       int           // hashes that wait for their turn
	MaxWait     time.Duration // how long one waits at most
}

// Observer is told what the Hasher does. Its methods must not block.
type Observer interface {
	HashDone(waited, ran time.Duration)
	HashRefused(reason string) // "queue_full" or "timeout"
}

// Result is what became of a verification.
type Result struct {
	OK     bool // the password is the right one
	Rehash bool // the stored hash is not by today's parameters
}

// Hasher makes and checks argon2id hashes, a bounded number at once. It is safe for
// concurrent use.
type Hasher struct {
	params   Params
	limits   Limits
	observer Observer
	turns    *semaphore.Weighted
	running  atomic.Int64
	waiting  atomic.Int64
	nothing  hash // what the passwords of unknown accounts are checked against
}

// NewHasher returns a Hasher that makes hashes by these parameters.
func NewHasher(p Params, l Limits, o Observer) (*Hasher, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if l.Concurrency < 1 || l.Queue < 0 || l.MaxWait <= 0 {
		return nil, errors.New("hashing needs a concurrency of at least 1, a queue of at least 0 and a time to wait")
	}
	h := &Hasher{params: p, limits: l, observer: o, turns: semaphore.NewWeighted(int64(l.Concurrency))}
	h.nothing = h.blank()
	if _, err := rand.Read(h.nothing.key); err != nil {
		return nil, fmt.Errorf("make a dummy hash: %w", err)
	}
	return h, nil
}

// Running returns how many hashes are being computed at this moment.
func (h *Hasher) Running() int64 { return h.running.Load() }

// Waiting returns how many hashes wait for their turn at this moment.
func (h *Hasher) Waiting() int64 { return h.waiting.Load() }

// Hash returns the PHC string of a password. Errors: ErrBusy, or that of ctx.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	made := h.blank()
	key, err := h.derive(ctx, made, password)
	if err != nil {
		return "", err
	}
	made.key = key
	return made.String(), nil
}

// Verify checks a password against a stored PHC string. A string that can't be read
// costs the same work and gives ErrUnknownFormat. Other errors: ErrBusy, or that of ctx.
func (h *Hasher) Verify(ctx context.Context, password, phc string) (Result, error) {
	stored, err := parse(phc)
	if err != nil {
		return Result{}, errors.Join(h.VerifyNothing(ctx, password), fmt.Errorf("%w: %w", ErrUnknownFormat, err))
	}
	key, err := h.derive(ctx, stored, password)
	if err != nil {
		return Result{}, err
	}
	today := stored.Params == h.params && len(stored.salt) == saltBytes && len(stored.key) == keyBytes
	return Result{OK: subtle.ConstantTimeCompare(key, stored.key) == 1, Rehash: !today}, nil
}

// VerifyNothing does the work of Verify for an account that does not exist, so that the
// time of an answer does not tell. Errors: ErrBusy, or that of ctx.
func (h *Hasher) VerifyNothing(ctx context.Context, password string) error {
	key, err := h.derive(ctx, h.nothing, password)
	if err != nil {
		return err
	}
	subtle.ConstantTimeCompare(key, h.nothing.key)
	return nil
}

// blank returns a hash by today's parameters with a fresh salt and no key yet.
func (h *Hasher) blank() hash {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	return hash{Params: h.params, salt: salt, key: make([]byte, keyBytes)}
}

// derive waits for its turn and computes the key of a password.
func (h *Hasher) derive(ctx context.Context, by hash, password string) ([]byte, error) {
	arrived := time.Now()
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	defer h.turns.Release(1)
	h.running.Add(1)
	defer h.running.Add(-1)

	started := time.Now()
	key := by.derive([]byte(norm.NFKC.String(password))) // NIST SP 800-63B-4 section 3.1.1.2
	h.observer.HashDone(started.Sub(arrived), time.Since(started))
	return key, nil
}

// acquire waits for a turn within the limits.
func (h *Hasher) acquire(ctx context.Context) error {
	if h.turns.TryAcquire(1) {
		return nil
	}
	if h.waiting.Add(1) > int64(h.limits.Queue) {
		h.waiting.Add(-1)
		h.observer.HashRefused("queue_full")
		return fmt.Errorf("%w: the queue is full", ErrBusy)
	}
	defer h.waiting.Add(-1)
	waitCtx, cancel := context.WithTimeout(ctx, h.limits.MaxWait)
	defer cancel()
	if err := h.turns.Acquire(waitCtx, 1); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for a turn to hash: %w", ctx.Err())
		}
		h.observer.HashRefused("timeout")
		return fmt.Errorf("%w: no turn within %s", ErrBusy, h.limits.MaxWait)
	}
	return nil
}
