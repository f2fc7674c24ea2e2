package config

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

const (
	// minSecretBytes is the minimum length of a key for HS256 (RFC 7518 section 3.2) and for AES-256.
	minSecretBytes = 32
	// minDistinctBytes is the minimum number of distinct bytes in a secret. The probability that an encoding of 32 random bytes has fewer
	// is only 10^-12.
	minDistinctBytes = 8
)

// publishedSecrets are the examples of jwt.io and of earlier versions of this repository.
var publishedSecrets = []string{"a-string-secret-at-least-256-bits-long", "for-local-development-only-0123456789"}

// weakness returns why a secret is easy to guess, or "" if it looks random. The result does not contain the secret.
func weakness(secret string) string {
	distinct := map[byte]struct{}{}
	for _, b := range []byte(secret) {
		distinct[b] = struct{}{}
	}
	switch {
	case len(secret) < minSecretBytes:
		return fmt.Sprintf("has %d bytes and needs at least %d", len(secret), minSecretBytes)
	case slices.Contains(publishedSecrets, secret):
		return "is a published example"
	case isRepeated(secret):
		return "repeats one text and is easy to guess"
	case len(distinct) < minDistinctBytes:
		return fmt.Sprintf("has only %d distinct bytes and is easy to guess", len(distinct))
	case isSequence(secret):
		return "is a sequence of characters and is easy to guess"
	default:
		return ""
	}
}

// dataKeyWeakness returns why a text is not a key for AES-256 that looks random, or "".
func dataKeyWeakness(text string) string {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != minSecretBytes {
		return fmt.Sprintf("is not the base64 of %d bytes", minSecretBytes)
	}
	return cmp.Or(weakness(string(key)), weakness(text))
}

// isSequence reports whether more than two thirds of the bytes differ from the byte before by at most one. In an encoding of random
// bytes, this is true for less than a third.
func isSequence(s string) bool {
	steps := 0
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]); d >= -1 && d <= 1 {
			steps++
		}
	}
	return 3*steps > 2*len(s)
}

// isRepeated reports whether a text consists of at least two repetitions of a shorter text. The last repetition may be incomplete.
func isRepeated(s string) bool {
	for n := 1; 2*n <= len(s); n++ {
		if strings.HasPrefix(s, s[n:]) {
			return true
		}
	}
	return false
}
