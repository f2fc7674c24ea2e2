// Package password hashes passwords with bounded resources, and checks new passwords against a policy.
package password

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Config configures a Hasher.
type Config struct {
	Params   Params // the parameters of new hashes
	Limits   Limits
	Process  *Process // computes the hashes; nil: they are computed in this process
	Observer Observer // nil: none
}

// minMemoryCapKiB is the memory that a stored hash may use with every configuration. It is the default of argon2-cffi before 21.2.
const minMemoryCapKiB = 100 << 10

// MemoryKiB returns the memory that all running hashes may use together, in KiB. It is the memory of Concurrency new hashes, but at least
// minMemoryCapKiB.
func (c Config) MemoryKiB() uint64 {
	return max(uint64(c.Limits.Concurrency)*uint64(c.Params.MemoryKiB), minMemoryCapKiB) //nolint:gosec // at least 1
}

// Result is the result of a verification.
type Result struct {
	OK     bool // the password is correct
	Rehash bool // the stored hash does not have the current parameters; if the password is correct, store a new hash
}

// Hasher creates argon2id hashes and verifies stored hashes, with a bounded concurrency. It is safe for concurrent use.
type Hasher struct {
	params   Params
	capKiB   uint64 // the maximum memory of a stored hash
	queue    *queue
	computer computer
	dummy    argon2id // is verified for unknown accounts that have the cost of a new hash
	costs    atomic.Pointer[costs]
}

// NewHasher returns a Hasher. It fails if a parameter or a limit is out of bounds.
func NewHasher(cfg Config) (*Hasher, error) {
	if err := cfg.Params.check(MaxWorkKiB); err != nil {
		return nil, err
	}
	if err := cfg.Limits.check(); err != nil {
		return nil, err
	}
	h := &Hasher{params: cfg.Params, capKiB: cfg.MemoryKiB(), computer: inProcess{}, dummy: newArgon2id(cfg.Params)}
	h.queue = newQueue(cfg.Limits, int64(h.capKiB), cfg.Observer) //nolint:gosec // less than 1 TiB by the bounds
	if cfg.Process != nil {
		h.computer = cfg.Process
	}
	h.costs.Store(&costs{})
	return h, nil
}

// Stored is the stored password of an account.
type Stored struct {
	Hash     string // "" if the account does not exist: no password matches.
	Imported bool   // Another program created the hash, without normalization of the password.
	Number   uint64 // For an account that does not exist: random, and constant for its email.
}

// Running returns how many hashes are being computed.
func (h *Hasher) Running() int64 { return h.queue.running.Load() }

// Waiting returns how many hashes wait for a slot.
func (h *Hasher) Waiting() int64 { return int64(h.queue.waiting()) }

// Hash returns the PHC string of a password with a new salt. Errors: ErrBusy, or the error of ctx.
func (h *Hasher) Hash(ctx context.Context, flow Flow, password string) (string, error) {
	hash := newArgon2id(h.params)
	var key []byte
	err := h.queue.run(ctx, flow, h.memory(hash), func() (err error) { key, err = h.computer.derive(hash, password); return err })
	if err != nil {
		return "", err
	}
	hash.key = key
	return hash.String(), nil
}

// Verify checks a password against the result of load. It calls load when it has a slot. No other hash can use the slot meanwhile, so load
// should not wait.
//
// Verify costs the same for an account that does not exist as for an existing account, see SetCosts. For a stored hash that can't be read
// or needs too much memory, it costs the same as for a new hash. So the time does not reveal which accounts exist. Errors:
// ErrUnknownFormat for a hash that can't be read, ErrBusy, the error of load, or the error of ctx.
func (h *Hasher) Verify(
	ctx context.Context, flow Flow, password string, load func(context.Context) (Stored, error),
) (Result, error) {
	first, err := h.queue.acquire(ctx, flow, int64(h.params.MemoryKiB))
	if err != nil {
		return Result{}, err
	}
	defer func() { first.release() }() // load may fail or panic
	found, err := load(ctx)
	if err != nil {
		return Result{}, err
	}
	hash, invalid := h.read(&found)
	s := first
	first = slot{} // exchange or compute will release the slot
	if need := h.memory(hash); need > s.memory || hash.costly() {
		if s, err = s.exchange(ctx, need); err != nil {
			return Result{}, err
		}
	}
	var ok bool
	err = s.compute(ctx, func() (err error) { ok, err = h.computer.matches(found, password); return err })
	if err != nil {
		return Result{}, err
	}
	return Result{OK: ok, Rehash: found.Imported || !hash.hasParams(h.params)}, invalid
}

// read parses the stored hash. If the account does not exist or its hash is invalid, read returns a dummy hash, and also puts it into
// found.
func (h *Hasher) read(found *Stored) (hash stored, invalid error) {
	if found.Hash == "" {
		*found = Stored{Hash: (*h.costs.Load()).pick(found.Number), Imported: true}
	}
	if found.Hash != "" {
		if hash, invalid = h.parse(found.Hash); invalid == nil {
			return hash, nil
		}
		invalid = fmt.Errorf("%w: %w", ErrUnknownFormat, invalid)
	}
	*found = Stored{Hash: h.dummy.String()}
	return h.dummy, invalid
}

// Check returns nil if a login with this stored hash can succeed. Otherwise the error says what is wrong. The text of the error can
// follow the name of a field, and contains no part of the hash.
func (h *Hasher) Check(hash string) error {
	_, err := h.parse(hash)
	return err
}

func (h *Hasher) parse(text string) (stored, error) {
	hash, err := parse(text)
	if err != nil {
		return nil, err
	}
	if need := uint64(hash.memoryKiB()); need > h.capKiB {
		return nil, fmt.Errorf("needs %d KiB of memory, and %d KiB are allowed; raise PASSWORD_HASH_CONCURRENCY times ARGON2_MEMORY_KIB",
			need, h.capKiB)
	}
	return hash, nil
}

// memory returns how much memory a hash reserves, in KiB: the memory of a new hash, or more if an imported hash needs more.
func (h *Hasher) memory(hash stored) int64 {
	return int64(max(hash.memoryKiB(), h.params.MemoryKiB))
}
