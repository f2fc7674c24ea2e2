package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of bcrypt's cost. bcrypt itself requires at least 4. Each step doubles the CPU time: the usual 12 takes about 0.25 s,
// and 14 takes about 1 s. A higher cost would exceed the time limit of a request (TestEveryHashFitsIntoTheTimeLimitOfARequest).
const (
	minBcryptCost = 4
	maxBcryptCost = 14
)

// bcryptMaxBytes is how many bytes of a password bcrypt uses. The programs that write these hashes ignore the rest of the password, so
// matches ignores it too. The hash that replaces the imported one at login is of the whole password.
const bcryptMaxBytes = 72

// bcryptHash is a bcrypt hash with the prefix $2a$, $2b$ or $2y$. The algorithm is the same for all of them. The prefixes
// say which bugs the program that wrote the hash had fixed. bcryptHash implements the interface stored.
type bcryptHash struct{ text string }

func (h bcryptHash) matches(password string, _ bool) bool {
	used := password[:min(len(password), bcryptMaxBytes)]
	return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(used)) == nil
}

func (bcryptHash) memoryKiB() uint32 { return 5 } // Blowfish's tables

func (h bcryptHash) costly() bool {
	return h.text[bcryptCostAt:bcryptSaltAt-1] >= strconv.Itoa(maxBcryptCost)
}

func (h bcryptHash) cost() string { return "bcrypt " + h.text[bcryptCostAt:bcryptSaltAt-1] }

func (bcryptHash) hasParams(Params) bool { return false }

func isBcrypt(text string) bool {
	return len(text) > 4 && text[:2] == "$2" && (text[2] == 'a' || text[2] == 'b' || text[2] == 'y') && text[3] == '$'
}

// Offsets in $2b$12$salt22characters…key of 31 characters.
const (
	bcryptCostAt, bcryptSaltAt = 4, 7
	bcryptKeyAt, bcryptLength  = 29, 60
)

// bcryptBase64 has the alphabet of bcrypt.
var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").
	WithPadding(base64.NoPadding)

var (
	errBcrypt     = errors.New("is not a bcrypt hash of 60 characters")
	errBcryptCost = fmt.Errorf("has a bcrypt cost that is not between %d and %d", minBcryptCost, maxBcryptCost)
)

// parseBcrypt parses a bcrypt hash within the bounds above. The unused bits of the salt may have any value, because some programs set
// them. The unused bits of the digest must be zero: a computed hash always has zeros there, so any other hash matches no password.
func parseBcrypt(text string) (bcryptHash, error) {
	if len(text) != bcryptLength || text[bcryptSaltAt-1] != '$' {
		return bcryptHash{}, errBcrypt
	}
	if cost, err := strconv.ParseUint(text[bcryptCostAt:bcryptSaltAt-1], 10, 8); err != nil {
		return bcryptHash{}, errBcrypt
	} else if cost < minBcryptCost || cost > maxBcryptCost {
		return bcryptHash{}, errBcryptCost
	}
	if !isBcryptBase64(bcryptBase64, text[bcryptSaltAt:bcryptKeyAt]) || !isBcryptBase64(bcryptBase64.Strict(), text[bcryptKeyAt:]) {
		return bcryptHash{}, errBcrypt
	}
	return bcryptHash{text}, nil
}

// isBcryptBase64 also rejects newlines, which the decoder ignores.
func isBcryptBase64(encoding *base64.Encoding, text string) bool {
	data, err := encoding.DecodeString(text)
	return err == nil && encoding.EncodedLen(len(data)) == len(text)
}
