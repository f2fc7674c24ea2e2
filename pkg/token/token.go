// Package token makes and checks the tokens of a session: signed access tokens
// (JWT, the profile of RFC 9068) and refresh tokens (a session id and a counter
// under a MAC).
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

// ErrInvalid is what every token gets that is not ours, not of its kind, or out of date.
var ErrInvalid = errors.New("invalid token")

// Config says how tokens are made.
type Config struct {
	Keys

	Issuer    string        // the iss claim
	Audience  string        // the aud claim
	ClientID  string        // the client_id claim
	AccessTTL time.Duration // how long an access token is good for
}

// Tokens makes and checks tokens. It is safe for concurrent use.
type Tokens struct {
	cfg    Config
	keys   atomic.Pointer[keyring]
	parser *jwt.Parser
	now    func() time.Time
}

// New returns Tokens that sign by cfg. It fails as SetKeys does.
func New(cfg Config) (*Tokens, error) {
	t := &Tokens{cfg: cfg, now: time.Now}
	if err := t.SetKeys(cfg.Keys); err != nil {
		return nil, err
	}
	t.cfg.Keys = Keys{} // only the keyring knows what is in force
	t.parser = newParser(cfg, func() time.Time { return t.now() })
	return t, nil
}

// SetKeys puts other keys in force, all of them at once. It fails, and leaves those that
// are in force, if one of them is not fit to sign or to verify. The error shows nothing of a key.
func (t *Tokens) SetKeys(keys Keys) error {
	ring, err := newKeyring(keys)
	if err != nil {
		return err
	}
	t.keys.Store(ring)
	return nil
}

// JWKS returns the public keys of access tokens as a JWK set (RFC 7517), the one that signs
// first. Secrets are never in it.
func (t *Tokens) JWKS() []byte { return t.keys.Load().public }

// KeyInfo is what may be known of a key.
type KeyInfo struct {
	ID        string // the kid
	Algorithm string // the one of RFC 7518 or RFC 8037 that access tokens name
	Signs     bool   // whether it signs; else it is accepted only
}

// KeysInForce returns all keys that are in force, in no order.
func (t *Tokens) KeysInForce() []KeyInfo {
	var out []KeyInfo
	for _, k := range t.keys.Load().byID {
		out = append(out, KeyInfo{ID: k.id, Algorithm: k.method.Alg(), Signs: k.signs})
	}
	return out
}

// EmailMAC returns a MAC of an email by a key derived from the secret: nobody can tell it who does not know that, and it is the
// same at each replica.
func (t *Tokens) EmailMAC(email string) []byte {
	mac := hmac.New(sha256.New, t.keys.Load().emails)
	mac.Write([]byte(email))
	return mac.Sum(nil)
}

// derive makes a key of size bytes for one purpose from the secret, so that the key
// tells nothing about the secret or about another purpose's key (HKDF, RFC 5869).
func derive(secret, purpose string, size int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "user-service "+purpose, size)
	if err != nil {
		return nil, fmt.Errorf("derive the %s: %w", purpose, err)
	}
	return key, nil
}
