package config

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// minSecretBytes is the least length of a key for HS256 (RFC 7518 section 3.2), and of one for AES-256.
	minSecretBytes = 32
	// minDifferentBytes is what 32 random bytes in any encoding have, but for one in 10^12.
	minDifferentBytes = 8
)

// publishedSecrets are examples that people copy: that of jwt.io, and that of earlier versions of this repository.
var publishedSecrets = []string{"a-string-secret-at-least-256-bits-long", "for-local-development-only-0123456789"}

// weakness returns what makes a secret easy to guess, or "" if it looks random. It shows nothing of the secret.
func weakness(secret string) string {
	different := map[byte]struct{}{}
	for _, b := range []byte(secret) {
		different[b] = struct{}{}
	}
	switch {
	case len(secret) < minSecretBytes:
		return fmt.Sprintf("has %d bytes and needs at least %d", len(secret), minSecretBytes)
	case slices.Contains(publishedSecrets, secret):
		return "is a published example"
	case isRepeated(secret):
		return "repeats one text and is easy to guess"
	case len(different) < minDifferentBytes:
		return fmt.Sprintf("has only %d different bytes and is easy to guess", len(different))
	case isSequence(secret):
		return "is a sequence of characters and is easy to guess"
	default:
		return ""
	}
}

// isSequence reports whether most bytes are the same as the one before, or the next one up or down. Of random bytes in any
// encoding, fewer than a third are.
func isSequence(s string) bool {
	steps := 0
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]); d >= -1 && d <= 1 {
			steps++
		}
	}
	return 3*steps > 2*len(s)
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
