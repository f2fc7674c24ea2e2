package factor

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
)

// keyBytes is the length of a key for AES-256.
const keyBytes = 32

// errUnknownKey means that no key decrypts a secret.
var errUnknownKey = errors.New("no key in DATA_KEY or DATA_ACCEPTED_KEYS decrypts the secret")

// Sealed is an encrypted secret.
type Sealed struct {
	KeyID string // the id of the key that encrypted it
	Data  []byte // the nonce and the ciphertext (AES-256-GCM)
}

// Keys encrypts and decrypts the secrets of factors. Without a key, factors are off. It is safe for concurrent use.
type Keys struct{ ring atomic.Pointer[keyring] }

// keyring holds parsed keys. It is immutable.
type keyring struct {
	current string // the id of the key that encrypts
	byID    map[string]cipher.AEAD
}

// NewKeys returns the keys: key encrypts, and accepted decrypt too. Both are base64 of 32 bytes; accepted has keys separated by commas. An
// empty key turns factors off. Errors: an invalid key.
func NewKeys(key, accepted string) (*Keys, error) {
	k := &Keys{}
	return k, k.Set(key, accepted)
}

// Set replaces the keys. If a key is invalid, it returns an error and changes nothing.
func (k *Keys) Set(key, accepted string) error {
	ring := &keyring{byID: map[string]cipher.AEAD{}}
	for i, text := range append([]string{key}, strings.Split(accepted, ",")...) {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		id, aead, err := parseKey(text)
		if err != nil {
			return err
		}
		ring.byID[id] = aead
		if i == 0 {
			ring.current = id
		}
	}
	k.ring.Store(ring)
	return nil
}

// parseKey returns the id of a key, which does not reveal the key, and its cipher.
func parseKey(text string) (id string, aead cipher.AEAD, err error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keyBytes {
		return "", nil, fmt.Errorf("a key is not the base64 of %d bytes", keyBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(append([]byte("user-service data key id\x00"), key...))
	aead, err = cipher.NewGCM(block)
	return hex.EncodeToString(sum[:8]), aead, err
}

// Enabled reports whether there is a key that encrypts. A nil Keys has none.
func (k *Keys) Enabled() bool { return k != nil && k.ring.Load().current != "" }

// CurrentID returns the id of the key that encrypts, or "" without one.
func (k *Keys) CurrentID() string { return k.ring.Load().current }

// OtherIDs returns the ids of the keys that only decrypt, sorted.
func (k *Keys) OtherIDs() []string {
	ring, ids := k.ring.Load(), []string{}
	for id := range ring.byID {
		if id != ring.current {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Seal encrypts the secret of a factor.
func (k *Keys) Seal(userID, factorID uuid.UUID, secret []byte) (Sealed, error) {
	ring := k.ring.Load()
	aead := ring.byID[ring.current]
	if aead == nil {
		return Sealed{}, errors.New("there is no DATA_KEY")
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: crypto/rand would end the program
	return Sealed{KeyID: ring.current, Data: aead.Seal(nonce, nonce, secret, additionalData(userID, factorID))}, nil
}

// Open decrypts the secret of a factor. Errors: an unknown key, a changed secret, the secret of another factor.
func (k *Keys) Open(userID, factorID uuid.UUID, s Sealed) ([]byte, error) {
	aead := k.ring.Load().byID[s.KeyID]
	if aead == nil {
		return nil, errUnknownKey
	}
	if len(s.Data) < aead.NonceSize() {
		return nil, errors.New("an encrypted secret is too short")
	}
	secret, err := aead.Open(nil, s.Data[:aead.NonceSize()], s.Data[aead.NonceSize():], additionalData(userID, factorID))
	if err != nil {
		return nil, fmt.Errorf("decrypt the secret of a factor: %w", err)
	}
	return secret, nil
}

// Reseal encrypts a secret again with the current key.
func (k *Keys) Reseal(userID, factorID uuid.UUID, s Sealed) (Sealed, error) {
	secret, err := k.Open(userID, factorID, s)
	if err != nil {
		return Sealed{}, err
	}
	return k.Seal(userID, factorID, secret)
}

// additionalData binds a secret to its factor and its user, so that a secret that was copied to another row is refused.
func additionalData(userID, factorID uuid.UUID) []byte { return append(userID[:], factorID[:]...) }
