// Package token makes and checks the tokens of a session: signed access tokens
// (JWT, the profile of RFC 9068) and refresh tokens (a session id and a counter
// under a MAC).
package token

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinSecretBytes is the least length of a signing secret in bytes: the output
// size of the hash function (RFC 7518 section 3.2).
const MinSecretBytes = 32

// ErrInvalid is what every token gets that is not ours, not of its kind, or out of date.
var ErrInvalid = errors.New("invalid token")

// Config says how tokens are made.
type Config struct {
	Secret    string        // signs access tokens, and refresh tokens by a key derived from it
	Issuer    string        // the iss claim
	Audience  string        // the aud claim
	AccessTTL time.Duration // how long an access token is good for
}

// Tokens makes and checks tokens. It is safe for concurrent use.
type Tokens struct {
	cfg        Config
	kid        string
	signingKey []byte
	refreshKey []byte
	parser     *jwt.Parser
	now        func() time.Time
}

// New returns Tokens that sign by cfg. It fails on a secret that is too short.
func New(cfg Config) (*Tokens, error) {
	if len(cfg.Secret) < MinSecretBytes {
		return nil, fmt.Errorf("the signing secret has %d bytes; it needs at least %d", len(cfg.Secret), MinSecretBytes)
	}
	kid, err := derive(cfg.Secret, "key id", 9)
	if err != nil {
		return nil, err
	}
	refreshKey, err := derive(cfg.Secret, "refresh token", sha256.Size)
	if err != nil {
		return nil, err
	}
	t := &Tokens{
		cfg:        cfg,
		kid:        base64.RawURLEncoding.EncodeToString(kid),
		signingKey: []byte(cfg.Secret),
		refreshKey: refreshKey,
		now:        time.Now,
	}
	t.parser = newParser(cfg, func() time.Time { return t.now() })
	return t, nil
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
