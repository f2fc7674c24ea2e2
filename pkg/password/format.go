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
	// matches reports whether the hash is that of the password. Its work depends on the
	// hash alone, and its time tells nothing about the password.
	matches(password string) bool
	// memoryKiB is how much memory matches takes while it runs, in KiB.
	memoryKiB() uint32
	// madeBy reports whether today's hashes are made in this format and by these
	// parameters.
	madeBy(p Params) bool
}

// parse reads a stored hash. What it returns costs no more than the bounds of its format,
// wherever the text came from. No error shows any part of the text.
func parse(text string) (stored, error) {
	if strings.HasPrefix(text, argon2idPrefix) {
		return parseArgon2id(text)
	}
	return nil, errors.New("the hash begins like none that is known here")
}
