// Package token issues and verifies the tokens of a session. Access tokens are signed JWTs (RFC 9068). A refresh token consists of a
// session id, a counter and a MAC of both.
package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid means that a token was not issued by this service, has another type, or has expired.
var ErrInvalid = errors.New("invalid token")

// Config configures Tokens.
type Config struct {
	Keys

	Issuer    string        // the iss claim
	Audience  string        // the aud claim
	ClientID  string        // the client_id claim
	AccessTTL time.Duration // how long an access token is valid
}

// Tokens issues and verifies tokens. It is safe for concurrent use.
type Tokens struct {
	cfg    Config
	keys   atomic.Pointer[keyring]
	parser *jwt.Parser
	now    func() time.Time

	verified *verifiedTokens
}

// New returns Tokens. Errors: the errors of SetKeys.
func New(cfg Config) (*Tokens, error) {
	t := &Tokens{cfg: cfg, now: time.Now, verified: newVerifiedTokens()}
	if err := t.SetKeys(cfg.Keys); err != nil {
		return nil, err
	}
	t.cfg.Keys = Keys{} // the keyring holds them
	t.parser = newParser(cfg, func() time.Time { return t.now() })
	return t, nil
}

// SetKeys replaces all keys atomically. If one of the new keys is invalid, it keeps the current keys and returns an error that contains no
// part of a key.
func (t *Tokens) SetKeys(keys Keys) error {
	ring, err := newKeyring(keys)
	if err != nil {
		return err
	}
	t.keys.Store(ring)
	return nil
}

// JWKS returns the public keys of access tokens as a JWK set (RFC 7517). The signing key is the first. The set never contains secrets.
func (t *Tokens) JWKS() []byte { return t.keys.Load().public }

// KeyInfo is the public information about a key.
type KeyInfo struct {
	ID        string // the kid
	Algorithm string // the alg of access tokens (RFC 7518, RFC 8037)
	Signs     bool   // the key signs new tokens; otherwise it is only accepted
}

// KeysInForce returns the current keys in any order.
func (t *Tokens) KeysInForce() []KeyInfo {
	var out []KeyInfo
	for _, k := range t.keys.Load().byID {
		out = append(out, KeyInfo{ID: k.id, Algorithm: k.method.Alg(), Signs: k.signs})
	}
	return out
}

// EmailMAC returns a MAC of an email under a key that is derived from the secret. The MAC is the same in each replica, and can't be
// computed without the secret.
func (t *Tokens) EmailMAC(email string) []byte {
	mac := hmac.New(sha256.New, t.keys.Load().emails)
	mac.Write([]byte(email))
	return mac.Sum(nil)
}

// derive derives a key of size bytes for one purpose from the secret. The key reveals nothing about the secret or other derived keys
// (HKDF, RFC 5869).
func derive(secret, purpose string, size int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "user-service "+purpose, size)
	if err != nil {
		return nil, fmt.Errorf("derive the %s: %w", purpose, err)
	}
	return key, nil
}
