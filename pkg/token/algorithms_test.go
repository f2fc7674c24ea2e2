package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/token"
)

// forge signs valid claims with the method and the key. The header contains alg and kid, which may belong to another key.
func forge(t *testing.T, method jwt.SigningMethod, alg, kid string, key any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": "issuer", "aud": "audience", "sub": holder.UserID.String(), "sid": holder.SessionID.String(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	tok.Header["typ"], tok.Header["alg"], tok.Header["kid"] = "at+jwt", alg, kid
	raw, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// newTokensOfEachKind returns Tokens that accept a key of each kind, and the kid of the key for each algorithm.
func newTokensOfEachKind(t *testing.T) (*token.Tokens, map[string]string) {
	t.Helper()
	kids := map[string]string{"HS256": headerOf(t, accessToken(t, newTokensWith(t, token.Keys{})))["kid"].(string)}
	var accepted string
	for alg, key := range signers() {
		accepted += pkix(key)
		kids[alg] = headerOf(t, accessToken(t, newTokensWith(t, token.Keys{PrivateKey: pkcs8(key)})))["kid"].(string)
	}
	return newTokensWith(t, token.Keys{AcceptedKeys: accepted}), kids
}

// TestEachKeyIsValidForOneAlgorithm signs tokens with each key, with every combination of alg and kid in the header. Only a token with
// the alg and the kid of its own key may be accepted.
func TestEachKeyIsValidForOneAlgorithm(t *testing.T) {
	t.Parallel()
	tokens, kids := newTokensOfEachKind(t)
	keys := map[string]any{"HS256": []byte(firstSecret)}
	for alg, key := range signers() {
		keys[alg] = key
	}
	for signed, key := range keys {
		for alg := range keys {
			for kid := range keys {
				raw := forge(t, jwt.GetSigningMethod(signed), alg, kids[kid], key)
				if signed == alg && alg == kid {
					wantAccepted(t, tokens, raw)
				} else {
					wantRejected(t, tokens, signed+" as "+alg+" with the kid of "+kid, raw)
				}
			}
		}
	}
}

// TestAPublicKeyIsNotAnHMACSecret signs tokens with HMAC and an encoding of a public key as the secret (RFC 8725 section 2.1). All must
// be rejected.
func TestAPublicKeyIsNotAnHMACSecret(t *testing.T) {
	t.Parallel()
	tokens, kids := newTokensOfEachKind(t)
	for alg, key := range signers() {
		der := must(x509.MarshalPKIXPublicKey(key.Public()))
		forms := map[string][]byte{
			"DER": der, "PEM": []byte(pkix(key)), "PEM without its newline": []byte(strings.TrimSpace(pkix(key))),
			"JWK set":    tokens.JWKS(),
			"thumbprint": []byte(kids[alg]),
		}
		if alg == "EdDSA" {
			forms["raw"] = der[len(der)-32:]
		}
		for form, secret := range forms {
			for _, hmac := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				for _, kid := range []string{kids[alg], kids["HS256"]} {
					wantRejected(t, tokens, hmac.Alg()+" with the "+form+" of "+alg, forge(t, hmac, hmac.Alg(), kid, secret))
				}
			}
		}
	}
}

func TestOtherAlgorithmsOfAKeyAreRefused(t *testing.T) {
	t.Parallel()
	tokens, kids := newTokensOfEachKind(t)
	for _, method := range []jwt.SigningMethod{
		jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
	} {
		wantRejected(t, tokens, method.Alg(), forge(t, method, method.Alg(), kids["RS256"], rsaKey()))
		wantRejected(t, tokens, method.Alg()+" as RS256", forge(t, method, "RS256", kids["RS256"], rsaKey()))
	}
	wantRejected(t, tokens, "ES384", forge(t, jwt.SigningMethodES384, "ES384", kids["ES256"], p384Key()))
	wantRejected(t, tokens, "a signature of P-384 as ES256", forge(t, jwt.SigningMethodES384, "ES256", kids["ES256"], p384Key()))
	for alg, kid := range kids {
		for _, none := range []string{"none", "None", ""} {
			unsigned := forge(t, jwt.SigningMethodNone, none, kid, jwt.UnsafeAllowNoneSignatureType)
			wantRejected(t, tokens, alg+" as "+none, unsigned)
			unsigned = forge(t, jwt.SigningMethodNone, alg, kid, jwt.UnsafeAllowNoneSignatureType)
			wantRejected(t, tokens, alg+" without a signature", unsigned)
		}
	}
}

// TestAnUnknownKeyIsRefused signs tokens with unknown keys. The header has an invented kid, a known kid, or the unknown key itself. A
// verifier must not trust these parts of the header (RFC 8725 section 3.10).
func TestAnUnknownKeyIsRefused(t *testing.T) {
	t.Parallel()
	tokens, kids := newTokensOfEachKind(t)
	unknown := map[string]crypto.Signer{
		"EdDSA": must(ed25519Pair()), "ES256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "RS256": shortRSA(),
	}
	for alg, key := range unknown {
		method := jwt.GetSigningMethod(alg)
		wantRejected(t, tokens, alg+" with a known kid", forge(t, method, alg, kids[alg], key))
		for _, kid := range []string{"", "other", "../" + kids[alg], kids[alg] + " ", strings.ToLower(kids[alg])} {
			wantRejected(t, tokens, alg+" with the kid "+kid, forge(t, method, alg, kid, key))
		}
	}
	own := newTokensWith(t, token.Keys{PrivateKey: pkcs8(unknown["EdDSA"])})
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "issuer", "aud": "audience", "sub": holder.UserID.String(), "sid": holder.SessionID.String(),
		"exp": time.Now().Add(time.Minute).Unix(),
	})
	tok.Header["typ"], tok.Header["kid"], tok.Header["jwk"] = "at+jwt", headerOf(t, accessToken(t, own))["kid"], string(own.JWKS())
	tok.Header["jku"] = "https://attacker.example/.well-known/jwks.json"
	wantRejected(t, tokens, "with the key in the header", must(tok.SignedString(unknown["EdDSA"])))
}
