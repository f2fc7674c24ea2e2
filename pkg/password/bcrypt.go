package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/bcrypt"
)

// Limits of the cost of bcrypt. bcrypt itself requires at least 4. Each step doubles the CPU time: the usual cost of 12 takes about 0.25
// s, and a cost of 14 about 1 s. A higher cost would exceed the time limit of a request (TestEveryHashFitsIntoTheTimeLimitOfARequest).
const (
	minBcryptCost = 4
	maxBcryptCost = 14
)

// bcryptMaxBytes is the number of bytes of a password that bcrypt uses. The programs that write these hashes ignore the rest of the
// password, so matches ignores it too. The hash that replaces an imported hash at login covers the whole password.
const bcryptMaxBytes = 72

// bcryptHash is a bcrypt hash with the prefix $2a$, $2b$ or $2y$. The algorithm is the same for all three prefixes. A prefix shows which
// bugs were fixed in the program that wrote the hash. bcryptHash implements stored.
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

// parseBcrypt parses a bcrypt hash whose cost is within the limits above. The unused bits of the salt may have any value, because some
// programs set them. The unused bits of the digest must be zero. In a computed hash they are always zero, so a hash with other bits
// matches no password.
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

// isBcryptBase64 reports whether a text is valid in this encoding. It rejects newlines, which the decoder of the standard library
// ignores.
func isBcryptBase64(encoding *base64.Encoding, text string) bool {
	data, err := encoding.DecodeString(text)
	return err == nil && encoding.EncodedLen(len(data)) == len(text)
}
