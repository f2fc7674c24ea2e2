package config

import (
	"fmt"
	"strings"
)

const (
	// minSecretBytes is the least length of a key for HS256 (RFC 7518 section 3.2), and of one for AES-256.
	minSecretBytes = 32
	// minDifferentBytes is what 32 random bytes in any encoding have, but for one in 10^12.
	minDifferentBytes = 8
)

// weakness returns what makes a secret easy to guess, or "" if it looks random. It shows nothing of the secret.
func weakness(secret string) string {
	different := map[byte]struct{}{}
	for _, b := range []byte(secret) {
		different[b] = struct{}{}
	}
	switch {
	case len(secret) < minSecretBytes:
		return fmt.Sprintf("has %d bytes and needs at least %d", len(secret), minSecretBytes)
	case isRepeated(secret):
		return "repeats one text and is easy to guess"
	case len(different) < minDifferentBytes:
		return fmt.Sprintf("has only %d different bytes and is easy to guess", len(different))
	default:
		return ""
	}
}

// isRepeated reports whether a text repeats a shorter one at least twice, the last time perhaps cut.
func isRepeated(s string) bool {
	for n := 1; 2*n <= len(s); n++ {
		if strings.HasPrefix(s, s[n:]) {
			return true
		}
	}
	return false
}
