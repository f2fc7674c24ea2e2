// Package password hashes passwords within bounds and knows what a good one is.
package password

import (
	"context"
	"fmt"
	"sync/atomic"
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
	work    computer
	nothing argon2id // what the passwords of unknown accounts are checked against that cost as much as today's
	costs   atomic.Pointer[costs]
}

// NewHasher returns a Hasher that makes hashes by these parameters, within these limits.
// The observer may be nil. It is an error if a parameter or a limit is out of bounds.
func NewHasher(p Params, l Limits, o Observer) (*Hasher, error) {
	if err := p.check(MaxWorkKiB); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	h := &Hasher{params: p, queue: newQueue(l, int64(MemoryKiB(p, l)), o), work: inProcess{}, nothing: newArgon2id(p)} //nolint:gosec // by their bounds less than 1 TiB
	h.costs.Store(&costs{})
	return h, nil
}

// Delegate has the hashes computed by a process, not in this one. It is to be called before any hash is asked for.
func (h *Hasher) Delegate(to *Process) { h.work = to }

// Stored is what a password is checked against.
type Stored struct {
	Hash     string // "" is that of an account that does not exist, which no password matches
	Imported bool   // the hash was made elsewhere, of the password as it was typed
	Number   uint64 // of an account that does not exist: random, and always the same for this one
}

// Running returns how many hashes are being computed at this moment.
func (h *Hasher) Running() int64 { return h.queue.running.Load() }

// Waiting returns how many hashes wait for a slot at this moment.
func (h *Hasher) Waiting() int64 { return int64(h.queue.waiting()) }

// Hash returns the PHC string of a password, with a salt of its own. Errors: ErrBusy, or
// that of ctx.
func (h *Hasher) Hash(ctx context.Context, flow Flow, password string) (string, error) {
	made := newArgon2id(h.params)
	var key []byte
	err := h.queue.run(ctx, flow, h.memory(made), func() (err error) { key, err = h.work.derive(made, password); return err })
	if err != nil {
		return "", err
	}
	made.key = key
	return made.String(), nil
}

// Verify checks a password against what stored returns. It is asked when a slot is free, so that no
// more callers than may hash at once ask a database.
//
// An account that does not exist costs the work of one that does, see SetCosts; one whose string can't be read
// or needs too much memory that of today's parameters. So time does not tell. Errors: ErrUnknownFormat of a string that can't be read, ErrBusy, that of stored, or that of ctx.
func (h *Hasher) Verify(ctx context.Context, flow Flow, password string, stored func(context.Context) (Stored, error)) (Result, error) {
	now, err := h.queue.take(ctx, flow, int64(h.params.MemoryKiB))
	if err != nil {
		return Result{}, err
	}
	defer func() { now.end() }() // whatever stored does
	found, err := stored(ctx)
	if err != nil {
		return Result{}, err
	}
	hash, broken := h.read(&found)
	last := now
	now = slot{} // exchange or hash end it
	if need := h.memory(hash); need > last.memory || hash.costly() {
		if last, err = last.exchange(ctx, need); err != nil {
			return Result{}, err
		}
	}
	var ok bool
	if err := last.hash(ctx, func() (err error) { ok, err = h.work.matches(found, password); return err }); err != nil {
		return Result{}, err
	}
	return Result{OK: ok, Rehash: found.Imported || !hash.hasParams(h.params)}, broken
}

// read returns the hash to do the work of, and replaces what was found by it.
func (h *Hasher) read(found *Stored) (hash stored, broken error) {
	if found.Hash == "" {
		*found = Stored{Hash: (*h.costs.Load()).pick(found.Number), Imported: true}
	}
	if found.Hash != "" {
		if hash, broken = h.parse(found.Hash); broken == nil {
			return hash, nil
		}
		broken = fmt.Errorf("%w: %w", ErrUnknownFormat, broken)
	}
	*found = Stored{Hash: h.nothing.String()}
	return h.nothing, broken
}

// Check returns nil if somebody can log in with this stored hash, else what is wrong with it, to be
// read after its name. The error shows no part of the hash.
func (h *Hasher) Check(hash string) error {
	_, err := h.parse(hash)
	return err
}

// minMemoryCapKiB is the memory that a stored hash may need whatever the limits are: that of argon2-cffi's default
// until its release 21.2.
const minMemoryCapKiB = 100 << 10

// MemoryKiB returns the memory that hashes by these parameters and within these limits need together: so many of today as
// run at once, or a stored one alone.
func MemoryKiB(p Params, l Limits) uint64 {
	return max(uint64(l.Concurrency)*uint64(p.MemoryKiB), minMemoryCapKiB) //nolint:gosec // at least 1
}

func (h *Hasher) parse(text string) (stored, error) {
	hash, err := parse(text)
	if err != nil {
		return nil, err
	}
	if need, most := uint64(hash.memoryKiB()), MemoryKiB(h.params, h.queue.limits); need > most {
		return nil, fmt.Errorf("needs %d KiB of memory and %d are taken, the larger of %d and PASSWORD_HASH_CONCURRENCY times ARGON2_MEMORY_KIB: raise one of these", need, most, minMemoryCapKiB)
	}
	return hash, nil
}

// memory returns how much memory a hash takes of that of all hashes, in KiB: as much as it needs, so that imported hashes
// don't take more together than planned, and at least that of today's parameters.
func (h *Hasher) memory(hash stored) int64 {
	return int64(max(hash.memoryKiB(), h.params.MemoryKiB))
}
