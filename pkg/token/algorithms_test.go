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

// forge signs good claims by the method and the key, under the header's alg and kid.
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

// all returns Tokens that accept one key of each kind, and the kid of each by its algorithm.
func all(t *testing.T) (*token.Tokens, map[string]string) {
	t.Helper()
	kids := map[string]string{"HS256": headerOf(t, accessToken(t, keyed(t, token.Keys{})))["kid"].(string)}
	var accepted string
	for alg, key := range signers() {
		accepted += pkix(key)
		kids[alg] = headerOf(t, accessToken(t, keyed(t, token.Keys{PrivateKey: pkcs8(key)})))["kid"].(string)
	}
	return keyed(t, token.Keys{AcceptedKeys: accepted}), kids
}

// TestEachKeyIsGoodForOneAlgorithm shows tokens that each key has signed by its own algorithm,
// under the alg and the kid of each other one.
func TestEachKeyIsGoodForOneAlgorithm(t *testing.T) {
	t.Parallel()
	tokens, kids := all(t)
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
					wantUnaccepted(t, tokens, signed+" as "+alg+" with the kid of "+kid, raw)
				}
			}
		}
	}
}

// TestAPublicKeyIsNoSecret signs by HMAC with all forms of a public key that an attacker may
// take for the bytes that the service has (RFC 8725 section 2.1).
func TestAPublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	tokens, kids := all(t)
	for alg, key := range signers() {
		der := made(x509.MarshalPKIXPublicKey(key.Public()))
		forms := map[string][]byte{
			"DER": der, "PEM": []byte(pkix(key)), "PEM without its newline": []byte(strings.TrimSpace(pkix(key))), "JWK set": tokens.JWKS(),
			"thumbprint": []byte(kids[alg]),
		}
		if alg == "EdDSA" {
			forms["raw"] = der[len(der)-32:]
		}
		for form, secret := range forms {
			for _, hmac := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				for _, kid := range []string{kids[alg], kids["HS256"]} {
					wantUnaccepted(t, tokens, hmac.Alg()+" with the "+form+" of "+alg, forge(t, hmac, hmac.Alg(), kid, secret))
				}
			}
		}
	}
}

func TestOtherAlgorithmsOfAKeyAreRefused(t *testing.T) {
	t.Parallel()
	tokens, kids := all(t)
	for _, method := range []jwt.SigningMethod{
		jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
	} {
		wantUnaccepted(t, tokens, method.Alg(), forge(t, method, method.Alg(), kids["RS256"], rsaKey()))
		wantUnaccepted(t, tokens, method.Alg()+" as RS256", forge(t, method, "RS256", kids["RS256"], rsaKey()))
	}
	wantUnaccepted(t, tokens, "ES384", forge(t, jwt.SigningMethodES384, "ES384", kids["ES256"], p384Key()))
	wantUnaccepted(t, tokens, "a signature of P-384 as ES256", forge(t, jwt.SigningMethodES384, "ES256", kids["ES256"], p384Key()))
	for alg, kid := range kids {
		for _, none := range []string{"none", "None", ""} {
			unsigned := forge(t, jwt.SigningMethodNone, none, kid, jwt.UnsafeAllowNoneSignatureType)
			wantUnaccepted(t, tokens, alg+" as "+none, unsigned)
			wantUnaccepted(t, tokens, alg+" without a signature", forge(t, jwt.SigningMethodNone, alg, kid, jwt.UnsafeAllowNoneSignatureType))
		}
	}
}

// TestAStrangersKeyIsRefused has keys of the right kind that nobody accepts, under their own
// kid, under one of ours, and brought along in the header (RFC 8725 section 3.10).
func TestAStrangersKeyIsRefused(t *testing.T) {
	t.Parallel()
	tokens, kids := all(t)
	strangers := map[string]crypto.Signer{
		"EdDSA": made(ed25519Pair()), "ES256": made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "RS256": shortRSA(),
	}
	for alg, stranger := range strangers {
		method := jwt.GetSigningMethod(alg)
		wantUnaccepted(t, tokens, alg+" with our kid", forge(t, method, alg, kids[alg], stranger))
		for _, kid := range []string{"", "stranger", "../" + kids[alg], kids[alg] + " ", strings.ToLower(kids[alg])} {
			wantUnaccepted(t, tokens, alg+" with the kid "+kid, forge(t, method, alg, kid, stranger))
		}
	}
	own := keyed(t, token.Keys{PrivateKey: pkcs8(strangers["EdDSA"])})
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "issuer", "aud": "audience", "sub": holder.UserID.String(), "sid": holder.SessionID.String(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	tok.Header["typ"], tok.Header["kid"], tok.Header["jwk"] = "at+jwt", headerOf(t, accessToken(t, own))["kid"], string(own.JWKS())
	tok.Header["jku"] = "https://stranger.example/.well-known/jwks.json"
	wantUnaccepted(t, tokens, "with the key in the header", made(tok.SignedString(strangers["EdDSA"])))
}
