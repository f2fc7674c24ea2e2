package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Params are the costs of an argon2id hash (RFC 9106 section 3.1). The OWASP Password Storage Cheat Sheet recommends at least
// 19456 KiB, 2 iterations and a parallelism of 1.
type Params struct {
	MemoryKiB   uint32 // from 8 KiB per lane to 512 MiB
	Iterations  uint32 // passes over the memory, from 1 to 64
	Parallelism uint8  // lanes, from 1 to 64
}

// Limits of the costs. They ensure that an imported or maliciously inserted hash does not exceed the time of a request or the available
// memory. The work is the product of memory and iterations: a work of 1 GiB takes about 1 s on one core
// (TestEveryHashFitsIntoTheTimeLimitOfARequest).
const (
	maxMemoryKiB   = 1 << 19 // 512 MiB
	maxIterations  = 64
	maxParallelism = 64
	maxWorkKiB     = 1 << 20 // the limit for a stored hash

	// MaxWorkKiB is the maximum work of a new hash. It is half of maxWorkKiB, because a password change verifies one hash and creates
	// another one.
	MaxWorkKiB = maxWorkKiB / 2
)

// check returns an error if the costs are out of bounds.
func (p Params) check(maxWork uint64) error {
	switch {
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("argon2 parallelism must be between 1 and %d", maxParallelism)
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("argon2 iterations must be between 1 and %d", maxIterations)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > maxMemoryKiB: // RFC 9106 section 3.1
		return fmt.Errorf("argon2 memory must be between 8 KiB per lane and %d KiB", maxMemoryKiB)
	case uint64(p.MemoryKiB)*uint64(p.Iterations) > maxWork:
		return fmt.Errorf("argon2 memory times iterations must be at most %d KiB", maxWork)
	}
	return nil
}

// String formats the parameters as in a PHC string.
func (p Params) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", p.MemoryKiB, p.Iterations, p.Parallelism)
}

// Lengths in bytes: of new salts and keys (RFC 9106 section 3.1), and the limits for stored salts and keys.
const (
	saltBytes, minSaltBytes, maxSaltBytes = 16, 8, 64
	keyBytes, minKeyBytes, maxKeyBytes    = 32, 16, 64
	maxPHCBytes                           = 256
)

// argon2id is a hash by argon2id version 19 (RFC 9106). It implements stored.
type argon2id struct {
	Params
	salt []byte
	key  []byte
}

// newArgon2id returns a hash with a random salt. Its key is random too, so no password matches it.
func newArgon2id(p Params) argon2id {
	h := argon2id{Params: p, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	_, _ = rand.Read(h.salt) // never fails (crypto/rand)
	_, _ = rand.Read(h.key)
	return h
}

// derive computes the key of a password with the hash's parameters and salt. derive normalizes the password first, because keyboards may
// send different code points for the same character (NIST SP 800-63B-4 section 3.1.1.2).
func (h argon2id) derive(password string) []byte { return h.deriveTyped(norm.NFKC.String(password)) }

// deriveTyped does the same as derive, without the normalization.
func (h argon2id) deriveTyped(password string) []byte {
	//nolint:gosec // a key has at most 64 bytes
	return argon2.IDKey([]byte(password), h.salt, h.Iterations, h.MemoryKiB, h.Parallelism, uint32(len(h.key)))
}

func (h argon2id) matches(password string, imported bool) bool {
	derive := h.derive
	if imported {
		derive = h.deriveTyped
	}
	return subtle.ConstantTimeCompare(derive(password), h.key) == 1
}

func (h argon2id) memoryKiB() uint32 { return h.MemoryKiB }

func (h argon2id) costly() bool { return uint64(h.MemoryKiB)*uint64(h.Iterations) > maxWorkKiB/2 }

func (h argon2id) cost() string { return "argon2id " + h.Params.String() }

func (h argon2id) hasParams(p Params) bool {
	return h.Params == p && len(h.salt) == saltBytes && len(h.key) == keyBytes
}

const argon2idPrefix = "$argon2id$"

// String formats the hash as a PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$key.
func (h argon2id) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(argon2idPrefix+"%s$%s$%s$%s", argon2Version, h.Params, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

var errArgon2 = errors.New("is not a PHC string of argon2 version 19 with a salt of 8 to 64 bytes and a key of 16 to 64 bytes")

// parseArgon2id parses a PHC string whose values are within the limits above. It refuses padding, spaces and leading zeros. The
// parameters may be in any order.
func parseArgon2id(phc string) (argon2id, error) {
	fields := strings.Split(phc, "$") // "", "argon2id", version, costs, salt, key
	if len(phc) > maxPHCBytes || len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != argon2Version {
		return argon2id{}, errArgon2
	}
	h, ok := argon2id{}, false
	if h.Params, ok = parseParams(fields[3]); !ok {
		return argon2id{}, errArgon2
	}
	if h.salt, ok = decode(fields[4], minSaltBytes, maxSaltBytes); !ok {
		return argon2id{}, errArgon2
	}
	if h.key, ok = decode(fields[5], minKeyBytes, maxKeyBytes); !ok {
		return argon2id{}, errArgon2
	}
	return h, h.check(maxWorkKiB)
}

var argon2Version = fmt.Sprint("v=", argon2.Version)

// parseParams parses the parameters m=…, t=… and p=…. Each must occur exactly once.
func parseParams(text string) (p Params, ok bool) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return p, false
	}
	var found [256]bool
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != value || len(name) != 1 || found[name[0]] {
			return p, false
		}
		found[name[0]] = true
		switch name {
		case "m":
			p.MemoryKiB = uint32(n)
		case "t":
			p.Iterations = uint32(n)
		case "p":
			if n > maxParallelism {
				return p, false
			}
			p.Parallelism = uint8(n)
		default:
			return p, false
		}
	}
	return p, true
}

// decode decodes unpadded base64. It rejects results with fewer than minBytes or more than maxBytes bytes. It rejects newlines, which the
// decoder of the standard library ignores.
func decode(text string, minBytes, maxBytes int) ([]byte, bool) {
	data, err := base64.RawStdEncoding.Strict().DecodeString(text)
	inBounds := len(data) >= minBytes && len(data) <= maxBytes
	return data, err == nil && inBounds && base64.RawStdEncoding.EncodedLen(len(data)) == len(text)
}
