package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// minRSABits is the least size of an RSA key (RFC 7518 section 3.3).
const minRSABits = 2048

// key is one key of access tokens.
type key struct {
	id     string            // the kid
	method jwt.SigningMethod // the only one that the key is good for
	sign   any               // the private key or the secret; nil if there is none
	verify any               // the public key or the secret
	signs  bool              // whether it signs now; it may have signed else
}

func newSecret(secret string) (*key, error) {
	id, err := derive(secret, "key id", 9)
	if err != nil {
		return nil, err
	}
	return &key{id: encodeID(id), method: jwt.SigningMethodHS256, sign: []byte(secret), verify: []byte(secret)}, nil
}

// newPair returns the key of a private key, or of a public one, which can't sign. Its
// id is the thumbprint of RFC 7638, the same wherever it is computed.
func newPair(pair any) (*key, error) {
	method, err := methodOf(pair)
	if err != nil {
		return nil, err
	}
	k := &key{method: method, verify: publicHalf(pair)}
	if _, private := pair.(crypto.Signer); private {
		k.sign = pair
	}
	jwk := k.jwk()
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("the thumbprint of a key: %w", err)
	}
	k.id = encodeID(thumbprint)
	return k, nil
}

func (k *key) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.verify, KeyID: k.id, Algorithm: k.method.Alg(), Use: "sig"}
}

func publicHalf(pair any) any {
	if private, ok := pair.(crypto.Signer); ok {
		return private.Public()
	}
	return pair
}

// methodOf returns the algorithm that a key, private or public, decides. The error says what
// the key is, in words that follow its name.
func methodOf(pair any) (jwt.SigningMethod, error) {
	switch public := publicHalf(pair).(type) {
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, fmt.Errorf("is on the curve %s, and of those only P-256 is taken", public.Params().Name)
		}
		return jwt.SigningMethodES256, nil
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("is an RSA key of %d bits and needs at least %d", bits, minRSABits)
		}
		return jwt.SigningMethodRS256, nil
	default:
		return nil, errors.New("is of another kind than Ed25519, P-256 and RSA")
	}
}
