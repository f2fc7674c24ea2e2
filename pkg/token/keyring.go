package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// MinSecretBytes is the least length of a secret in bytes: the output size of the
// hash function (RFC 7518 section 3.2).
const MinSecretBytes = 32

// Keys are what tokens are signed with, and what else they may be signed with. A key that is
// to sign is accepted by all replicas first, and one that has signed is accepted until
// its last token is out of date: so no token is refused while the keys change.
type Keys struct {
	Secret          string   // signs refresh tokens, by a key derived from it, and access tokens where there is no PrivateKey
	AcceptedSecrets []string // may have signed both as well
	PrivateKey      string   // signs access tokens; one PEM block, of Ed25519, P-256 or RSA
	AcceptedKeys    string   // may have signed access tokens as well; PEM blocks, public or private
}

// keyring is Keys made ready for use. It never changes: other Keys make another one.
type keyring struct {
	signing *key            // signs access tokens
	byID    map[string]*key // verify access tokens
	refresh [][]byte        // verify refresh tokens; the first one signs them
	emails  []byte          // makes MACs of emails
	public  []byte          // the JWK set
}

func newKeyring(keys Keys) (*keyring, error) {
	ring := &keyring{byID: map[string]*key{}}
	published, err := ring.addPairs(keys)
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

// addPairs adds the asymmetric keys and returns the set of their public halves.
func (r *keyring) addPairs(keys Keys) (jose.JSONWebKeySet, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	var pairs []any
	if keys.PrivateKey != "" {
		private, err := parsePrivateKey(keys.PrivateKey)
		if err != nil {
			return set, fmt.Errorf("the PEM of the private key %w", err)
		}
		pairs = append(pairs, private)
	}
	accepted, err := parseKeys(keys.AcceptedKeys)
	if err != nil {
		return set, fmt.Errorf("the PEM of the accepted keys %w", err)
	}
	for i, pair := range append(pairs, accepted...) {
		k, err := newPair(pair)
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

// addSecrets adds the symmetric keys. They verify access tokens too when a private key
// signs, so that a service can move from one to the other.
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
		k.signs = i == 0 // refresh tokens at least
		if i == 0 && r.signing == nil {
			r.signing = k
		}
		mac, err := derive(secret, "refresh token", sha256.Size)
		if err != nil {
			return err
		}
		if r.add(k) {
			r.refresh = append(r.refresh, mac)
		}
	}
	return nil
}

// add reports whether the key is a new one.
func (r *keyring) add(k *key) bool {
	_, known := r.byID[k.id]
	if !known {
		r.byID[k.id] = k
	}
	return !known
}

func encodeID(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
