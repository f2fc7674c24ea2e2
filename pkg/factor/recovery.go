package factor

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
)

const (
	// RecoveryCodes is the number of recovery codes of a user.
	RecoveryCodes = 10
	recoveryBytes = 10 // 80 random bits
	// groupLength is the number of characters between two hyphens of a recovery code.
	groupLength = 4
	// MaxCode is the maximum length of a code as a user enters it, in bytes.
	MaxCode = 64
)

var recoveryEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// CodeHash is the SHA-256 of a recovery code and the id of its user. Only the hash is stored. A code has 80 random bits, so a fast hash is
// enough, and the id of the user is the salt.
type CodeHash [sha256.Size]byte

// NewRecoveryCodes returns new recovery codes of a user, and their hashes.
func NewRecoveryCodes(userID uuid.UUID) (codes []string, hashes []CodeHash) {
	for range RecoveryCodes {
		raw := make([]byte, recoveryBytes)
		_, _ = rand.Read(raw) // never fails: crypto/rand would end the program
		text := strings.ToLower(recoveryEncoding.EncodeToString(raw))
		var groups []string
		for ; text != ""; text = text[groupLength:] {
			groups = append(groups, text[:groupLength])
		}
		code := strings.Join(groups, "-")
		codes, hashes = append(codes, code), append(hashes, HashRecoveryCode(userID, code))
	}
	return codes, hashes
}

// HashRecoveryCode returns the hash of a recovery code. Case, spaces and hyphens do not matter.
func HashRecoveryCode(userID uuid.UUID, code string) CodeHash {
	return sha256.Sum256(append(userID[:], normalize(code)...))
}

// IsRecoveryCode reports whether a text has the form of a recovery code.
func IsRecoveryCode(code string) bool {
	raw, err := recoveryEncoding.DecodeString(normalize(code))
	return err == nil && len(raw) == recoveryBytes
}

// normalize returns a code in upper case, without spaces and hyphens.
func normalize(code string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
}
