package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// MinSecretBytes is the minimum length of a secret. It equals the output size of the hash function (RFC 7518 section 3.2).
const MinSecretBytes = 32

// Keys are the keys that sign tokens, and additional accepted keys. A rotation must not refuse a token. So all replicas must accept the
// next key before it signs, and the previous key until its last token has expired.
type Keys struct {
	Secret          string   // Signs access tokens if there is no PrivateKey. A key derived from Secret signs refresh tokens.
	AcceptedSecrets []string // May have signed access tokens and refresh tokens.
	PrivateKey      string   // Signs access tokens. One PEM block of Ed25519, P-256 or RSA.
	AcceptedKeys    string   // May have signed access tokens. Public or private PEM blocks.
}

// keyring holds the parsed Keys. It is immutable.
type keyring struct {
	signing *key            // Signs access tokens.
	byID    map[string]*key // The keys that verify access tokens.
	refresh [][]byte        // The keys that verify refresh tokens. The first one also signs them.
	emails  []byte          // The key of EmailMAC.
	bodies  [][]byte        // The keys of BodyMACs. The first one belongs to Keys.Secret.
	public  []byte          // The JWK set.
}

func newKeyring(keys Keys) (*keyring, error) {
	ring := &keyring{byID: map[string]*key{}}
	published, err := ring.addAsymmetric(keys)
	if err != nil {
		return nil, err
	}
	if err := ring.addSecrets(keys); err != nil {
		return nil, err
	}
	if ring.public, err = json.Marshal(published); err != nil {
		return nil, fmt.Errorf("encode the JWK set: %w", err)
	}
	return ring, nil
}

// addAsymmetric adds the asymmetric keys and returns their public keys.
func (r *keyring) addAsymmetric(keys Keys) (jose.JSONWebKeySet, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	var all []any
	if keys.PrivateKey != "" {
		private, err := parsePrivateKey(keys.PrivateKey)
		if err != nil {
			return set, fmt.Errorf("the PEM of the private key %w", err)
		}
		all = append(all, private)
	}
	accepted, err := parseKeys(keys.AcceptedKeys)
	if err != nil {
		return set, fmt.Errorf("the PEM of the accepted keys %w", err)
	}
	for i, raw := range append(all, accepted...) {
		k, err := newAsymmetric(raw)
		if err != nil {
			return set, err
		}
		if i == 0 && keys.PrivateKey != "" {
			r.signing, k.signs = k, true
		}
		if r.add(k) {
			set.Keys = append(set.Keys, k.jwk())
		}
	}
	return set, nil
}

// addSecrets adds the symmetric keys. They verify access tokens even while a private key signs new ones. So an operator can replace a
// symmetric key with a private key, or a private key with a symmetric one.
func (r *keyring) addSecrets(keys Keys) error {
	var err error
	if r.emails, err = derive(keys.Secret, "email MAC", sha256.Size); err != nil {
		return err
	}
	for i, secret := range append([]string{keys.Secret}, keys.AcceptedSecrets...) {
		if len(secret) < MinSecretBytes {
			return fmt.Errorf("a secret has %d bytes; it needs at least %d", len(secret), MinSecretBytes)
		}
		k, err := newSecret(secret)
		if err != nil {
			return err
		}
		k.signs = i == 0 // it signs refresh tokens
		if i == 0 && r.signing == nil {
			r.signing = k
		}
		mac, err := derive(secret, "refresh token", sha256.Size)
		if err != nil {
			return err
		}
		body, err := derive(secret, "body MAC", sha256.Size)
		if err != nil {
			return err
		}
		if r.add(k) {
			r.refresh, r.bodies = append(r.refresh, mac), append(r.bodies, body)
		}
	}
	return nil
}

// add adds a key, and reports whether it is new.
func (r *keyring) add(k *key) bool {
	_, known := r.byID[k.id]
	if !known {
		r.byID[k.id] = k
	}
	return !known
}

func encodeID(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
