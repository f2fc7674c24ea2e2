package password

import (
	"errors"
	"strings"
)

// ErrUnknownFormat means that a stored hash can't be read, so that every login to its account fails.
var ErrUnknownFormat = errors.New("unknown password hash format")

// stored is a stored password hash. Each format has a file with a type that implements stored, and a case in parse.
type stored interface {
	// matches reports whether the hash belongs to the password. It always derives one key, so that its time depends only on the hash.
	//
	// This service hashes the NFKC form of a password. An imported hash is a hash of the password as it was typed, because other programs
	// that write these formats do not normalize passwords.
	matches(password string, imported bool) bool
	// memoryKiB returns the memory that matches uses, in KiB.
	memoryKiB() uint32
	// costly reports whether matches may take more than half of the time that the limits of the format allow.
	costly() bool
	// cost returns a name for the algorithm and its costs. The name is equal for hashes that cost the same.
	cost() string
	// hasParams reports whether a new hash with these parameters would have the same format and cost.
	hasParams(p Params) bool
}

// parse parses a stored hash from an untrusted source. The cost of the returned hash is within the limits of its format. Errors contain
// no part of the text.
func parse(text string) (stored, error) {
	switch {
	case strings.HasPrefix(text, argon2idPrefix):
		return parseArgon2id(text)
	case strings.HasPrefix(text, argon2iPrefix):
		return parseArgon2i(text)
	case isBcrypt(text):
		return parseBcrypt(text)
	case strings.HasPrefix(text, djangoPrefix):
		return parseDjango(text)
	case strings.HasPrefix(text, passlibPrefix):
		return parsePasslib(text)
	default:
		return nil, errors.New("has an unknown format (supported: argon2id, argon2i, bcrypt, pbkdf2_sha256, pbkdf2-sha256)")
	}
}
