package password

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of PBKDF2. Django raises its number of iterations with each release, to 1200000 in 6.0. The maximum below takes about 0.4 s on
// one core with SHA instructions, and 1.3 s without them. More iterations would exceed the time of a request. Low numbers are accepted,
// because the hash is replaced at login.
const (
	maxPBKDF2Iterations = 2_000_000
	maxPBKDF2SaltBytes  = 128
)

// pbkdf2SHA256 is a hash by PBKDF2 with HMAC-SHA-256 (RFC 8018 section 5.2). It implements stored.
type pbkdf2SHA256 struct {
	iterations int
	salt       []byte
	key        []byte
}

func (h pbkdf2SHA256) matches(password string, _ bool) bool {
	key, err := pbkdf2.Key(sha256.New, password, h.salt, h.iterations, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

func (pbkdf2SHA256) memoryKiB() uint32 { return 1 }

func (h pbkdf2SHA256) costly() bool { return h.iterations > maxPBKDF2Iterations/2 }

func (h pbkdf2SHA256) cost() string { return fmt.Sprint("pbkdf2 ", h.iterations) }

func (pbkdf2SHA256) hasParams(Params) bool { return false }

var (
	errDjango     = errors.New("is not of the form pbkdf2_sha256$iterations$salt$key with a key of 32 bytes in base64")
	errPasslib    = errors.New("is not of the form $pbkdf2-sha256$rounds$salt$key with a key of 32 bytes in passlib's base64")
	errIterations = fmt.Errorf("has an iteration count that is not between 1 and %d", maxPBKDF2Iterations)
)

const djangoPrefix = "pbkdf2_sha256$"

// parseDjango parses Django's format pbkdf2_sha256$iterations$salt$key. The salt is text, and the key is base64 with padding.
func parseDjango(text string) (pbkdf2SHA256, error) {
	fields := strings.Split(text, "$")
	if len(fields) != 4 {
		return pbkdf2SHA256{}, errDjango
	}
	salt := []byte(fields[2])
	key, err := base64.StdEncoding.Strict().DecodeString(fields[3])
	if err != nil || strings.ContainsAny(text, "\r\n") || !utf8.ValidString(text) { // the decoder ignores newlines
		return pbkdf2SHA256{}, errDjango
	}
	return newPBKDF2(fields[1], salt, key, errDjango)
}

const passlibPrefix = "$pbkdf2-sha256$"

// parsePasslib parses passlib's format $pbkdf2-sha256$rounds$salt$key. Salt and key are base64 without padding, with a dot instead of
// the plus sign.
func parsePasslib(text string) (pbkdf2SHA256, error) {
	fields := strings.Split(text, "$") // "", "pbkdf2-sha256", rounds, salt, key
	if len(fields) != 5 || strings.ContainsAny(text, "+\r\n") {
		return pbkdf2SHA256{}, errPasslib
	}
	encoding := base64.RawStdEncoding.Strict()
	salt, errSalt := encoding.DecodeString(strings.ReplaceAll(fields[3], ".", "+"))
	key, errKey := encoding.DecodeString(strings.ReplaceAll(fields[4], ".", "+"))
	if errSalt != nil || errKey != nil {
		return pbkdf2SHA256{}, errPasslib
	}
	return newPBKDF2(fields[2], salt, key, errPasslib)
}

// newPBKDF2 returns a hash if its values are within the limits. malformed is the error for values that the format does not allow.
func newPBKDF2(iterations string, salt, key []byte, malformed error) (pbkdf2SHA256, error) {
	n, err := strconv.Atoi(iterations)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), err == nil && strconv.Itoa(n) != iterations:
		return pbkdf2SHA256{}, malformed
	case len(salt) < 1 || len(salt) > maxPBKDF2SaltBytes || len(key) != sha256.Size:
		return pbkdf2SHA256{}, malformed
	case err != nil || n < 1 || n > maxPBKDF2Iterations:
		return pbkdf2SHA256{}, errIterations
	}
	return pbkdf2SHA256{iterations: n, salt: salt, key: key}, nil
}
