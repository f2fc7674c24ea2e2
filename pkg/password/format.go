package password

import (
	"errors"
	"strings"
)

// ErrUnknownFormat means that a stored hash can't be read: nobody can log in with it.
var ErrUnknownFormat = errors.New("unknown password hash format")

// stored is a password hash as it is kept, of whatever format. Each format is one file
// with a type that fits this interface, and one case in parse.
type stored interface {
	// matches reports whether the hash is that of the password. Its time depends on the
	// hash alone: one key is derived, whatever is given and whether or not it is right.
	//
	// Hashes that are made here are of the password's NFKC form. Those that were imported
	// are of the password as it was typed: no other program that writes these
	// formats normalizes. The formats in which no hash is made here have imported ones only.
	matches(password string, imported bool) bool
	// memoryKiB is how much memory matches takes while it runs, in KiB.
	memoryKiB() uint32
	// costly reports whether matches may take more than half of the time that the format's bounds allow.
	costly() bool
	// cost is what the work of matches depends on, the same for hashes that cost the same.
	cost() string
	// hasParams reports whether today's hashes are made in this format and by these
	// parameters.
	hasParams(p Params) bool
}

// parse reads a stored hash. What it returns costs no more than the bounds of its format,
// wherever the text came from. No error shows any part of the text.
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
		return nil, errors.New("begins like no hash that is known here: argon2id, argon2i, bcrypt, pbkdf2_sha256, pbkdf2-sha256")
	}
}
