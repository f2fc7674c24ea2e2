package password

import (
	"errors"
	"strings"
)

// ErrUnknownFormat means that a stored hash can't be read, so a login with it always fails.
var ErrUnknownFormat = errors.New("unknown password hash format")

// stored is a stored password hash. Each format has a file with a type that implements stored, and a case in parse.
type stored interface {
	// matches reports whether the hash belongs to the password. Its time depends on the hash only: it always derives one key.
	//
	// This service hashes the password's NFKC form. Imported hashes are hashes of the password as it was typed, because no other
	// program that writes these formats normalizes passwords.
	matches(password string, imported bool) bool
	// memoryKiB is the memory that matches uses, in KiB.
	memoryKiB() uint32
	// costly reports whether matches may take more than half of the time that the bounds of the format allow.
	costly() bool
	// cost names the algorithm and its costs. It is equal for hashes that cost the same.
	cost() string
	// hasParams reports whether a new hash with these parameters would have the same format and cost.
	hasParams(p Params) bool
}

// parse parses a stored hash from an untrusted source. The cost of the hash is within the bounds of its format. Errors contain no part
// of the text.
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
