package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of bcrypt's cost, the exponent of its work. Below 4 there is no bcrypt. Each step
// doubles the time: 12, the usual one, takes about 0.25 s of one core and 14 about 1 s. Above
// that a login could not be answered in the time that a request has (TestNoHashTakesLongerThanARequestHas).
const (
	minBcryptCost = 4
	maxBcryptCost = 14
)

// bcryptMaxBytes is how much of a password bcrypt sees. All implementations that make
// hashes of these kinds ignore the rest, so it is ignored here: the hash that replaces
// this one at login is of the whole password.
const bcryptMaxBytes = 72

// bcryptHash is a hash by bcrypt of the kinds $2a$, $2b$ and $2y$, which are the same but for
// the faults of the programs that wrote them. It fits stored.
type bcryptHash struct{ text string }

func (h bcryptHash) matches(password string, _ bool) bool {
	seen := []byte(password)
	return bcrypt.CompareHashAndPassword([]byte(h.text), seen[:min(len(seen), bcryptMaxBytes)]) == nil
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

// Where the parts of $2b$12$salt22characters…key of 31 characters are.
const (
	bcryptCostAt, bcryptSaltAt = 4, 7
	bcryptKeyAt, bcryptLength  = 29, 60
)

// bcryptBase64 is bcrypt's own alphabet.
var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

var (
	errBcrypt     = errors.New("is not a bcrypt hash of 60 characters")
	errBcryptCost = fmt.Errorf("has a bcrypt cost that is not from %d to %d", minBcryptCost, maxBcryptCost)
)

// parseBcrypt reads a bcrypt hash within the bounds above. The bits after the salt's end may
// be anything, as some programs left them; those after the key's end are zero in every
// hash that can match.
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

// isBcryptBase64 refuses newlines too, which the decoder skips.
func isBcryptBase64(encoding *base64.Encoding, text string) bool {
	data, err := encoding.DecodeString(text)
	return err == nil && encoding.EncodedLen(len(data)) == len(text)
}
