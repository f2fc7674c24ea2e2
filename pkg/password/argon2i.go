package password

import (
	"crypto/subtle"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2i is a hash by argon2i version 19 (RFC 9106), as older releases of argon2-cffi and PHP wrote hashes. Only the hash function
// differs from argon2id. argon2i implements stored.
type argon2i struct{ as argon2id }

func (h argon2i) matches(password string, _ bool) bool {
	//nolint:gosec // a key has at most 64 bytes
	key := argon2.Key([]byte(password), h.as.salt, h.as.Iterations, h.as.MemoryKiB, h.as.Parallelism, uint32(len(h.as.key)))
	return subtle.ConstantTimeCompare(key, h.as.key) == 1
}

func (h argon2i) memoryKiB() uint32 { return h.as.memoryKiB() }

func (h argon2i) costly() bool { return h.as.costly() }

func (h argon2i) cost() string { return "argon2i " + h.as.Params.String() }

func (argon2i) hasParams(Params) bool { return false }

const argon2iPrefix = "$argon2i$"

// String formats the hash as a PHC string.
func (h argon2i) String() string {
	return argon2iPrefix + strings.TrimPrefix(h.as.String(), argon2idPrefix)
}

// parseArgon2i parses a PHC string within the same bounds as parseArgon2id.
func parseArgon2i(phc string) (argon2i, error) {
	as, err := parseArgon2id(argon2idPrefix + strings.TrimPrefix(phc, argon2iPrefix))
	return argon2i{as}, err
}
