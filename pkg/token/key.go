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

// minRSABits is the minimum size of an RSA key (RFC 7518 section 3.3).
const minRSABits = 2048

// key signs or verifies access tokens.
type key struct {
	id     string            // The kid.
	method jwt.SigningMethod // The only algorithm of the key.
	sign   any               // The private key or the secret. nil: the key can only verify.
	verify any               // The public key or the secret.
	signs  bool              // The key signs new tokens. Otherwise it is only accepted.
}

func newSecret(secret string) (*key, error) {
	id, err := derive(secret, "key id", 9)
	if err != nil {
		return nil, err
	}
	return &key{id: encodeID(id), method: jwt.SigningMethodHS256, sign: []byte(secret), verify: []byte(secret)}, nil
}

// newAsymmetric returns the key for a private or a public key. A public key can only verify. The id is the thumbprint of RFC 7638, which
// is the same in every program.
func newAsymmetric(raw any) (*key, error) {
	method, err := methodOf(raw)
	if err != nil {
		return nil, err
	}
	k := &key{method: method, verify: publicKey(raw)}
	if _, private := raw.(crypto.Signer); private {
		k.sign = raw
	}
	jwk := k.jwk()
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("compute the thumbprint of a key: %w", err)
	}
	k.id = encodeID(thumbprint)
	return k, nil
}

func (k *key) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.verify, KeyID: k.id, Algorithm: k.method.Alg(), Use: "sig"}
}

func publicKey(raw any) any {
	if private, ok := raw.(crypto.Signer); ok {
		return private.Public()
	}
	return raw
}

// methodOf returns the algorithm of a private or public key. The text of the error can follow the name of the key.
func methodOf(raw any) (jwt.SigningMethod, error) {
	switch public := publicKey(raw).(type) {
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return nil, fmt.Errorf("is on the curve %s, and only P-256 is supported", public.Params().Name)
		}
		return jwt.SigningMethodES256, nil
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("is an RSA key of %d bits and needs at least %d", bits, minRSABits)
		}
		return jwt.SigningMethodRS256, nil
	default:
		return nil, errors.New("has an unsupported type (supported: Ed25519, P-256, RSA)")
	}
}
