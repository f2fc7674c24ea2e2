package token_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"sync"
	"testing"

	"user-service/pkg/token"
)

// Keys of each kind, generated once because RSA is slow.
var (
	ed25519Key = sync.OnceValue(func() crypto.Signer { return must(ed25519Pair()) })
	p256Key    = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key    = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	rsaKey     = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	shortRSA   = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2040)) })
)

func ed25519Pair() (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func block(label string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content}))
}

func pkcs8(private any) string {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
}

func pkix(private crypto.Signer) string {
	return block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(private.Public())))
}

func sec1(private crypto.Signer) string {
	return block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(private.(*ecdsa.PrivateKey))))
}

func pkcs1(private crypto.Signer) string {
	return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private.(*rsa.PrivateKey)))
}

func pkcs1Public(private crypto.Signer) string {
	return block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(private.Public().(*rsa.PublicKey)))
}

func TestEveryFormOfAKeyIsTheSameKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		alg     string
		private []string
		public  []string
	}{
		"Ed25519": {"EdDSA", []string{pkcs8(ed25519Key())}, []string{pkix(ed25519Key())}},
		"P-256": {"ES256", []string{
			pkcs8(p256Key()), sec1(p256Key()),
			block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + sec1(p256Key()), // as written by openssl ecparam -genkey
		}, []string{pkix(p256Key())}},
		"RSA": {"RS256", []string{pkcs8(rsaKey()), pkcs1(rsaKey())}, []string{pkix(rsaKey()), pkcs1Public(rsaKey())}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, private := range slices.Clone(test.private) {
				for _, lineEnd := range []string{`\n`, `\r\n`, "\r\n"} {
					test.private = append(test.private, strings.ReplaceAll(private, "\n", lineEnd))
				}
			}
			for _, private := range test.private {
				signed := accessToken(t, newTokensWith(t, token.Keys{PrivateKey: private}))
				if alg := headerOf(t, signed)["alg"]; alg != test.alg {
					t.Errorf("the alg is %v, want %s", alg, test.alg)
				}
				for _, accepted := range append(test.private, test.public...) {
					wantAccepted(t, newTokensWith(t, token.Keys{AcceptedKeys: accepted}), signed)
					wantAccepted(t, newTokensWith(t, token.Keys{AcceptedKeys: "a comment\n" + accepted + "\n"}), signed)
				}
			}
		})
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	t.Parallel()
	valid := pkcs8(ed25519Key())
	encrypted := string(pem.EncodeToMemory(&pem.Block{
		Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes: make([]byte, 48),
	}))
	const public, private, both = 1, 2, 3
	for name, test := range map[string]struct {
		text, want string
		as         int
	}{
		"not PEM":             {"correct horse battery staple", "is not PEM", both},
		"base64 of a key":     {strings.Join(strings.Split(valid, "\n")[1:2], ""), "is not PEM", both},
		"truncated":           {valid[:60], "is truncated", both},
		"cut off at the end":  {valid[:len(valid)-5], "is truncated", both},
		"second cut off":      {valid + pkix(p256Key())[:70], "is truncated", both},
		"first cut off":       {valid[:60] + "\n" + pkix(p256Key()), "is truncated", both},
		"text after":          {valid + "x", "is not PEM", both},
		"RSA of 2040 bits":    {pkcs8(shortRSA()), "is an RSA key of 2040 bits and needs at least 2048", both},
		"public of 2040 bits": {pkix(shortRSA()), "is an RSA key of 2040 bits", both},
		"P-384":               {pkcs8(p384Key()), "is on the curve P-384, and only P-256 is supported", both},
		"P-384 in SEC1":       {sec1(p384Key()), "is on the curve P-384", both},
		"second is P-384":     {valid + pkix(p384Key()), "is invalid at key 2, which is on the curve P-384", both},
		"X25519":              {pkcs8(must(ecdh.X25519().GenerateKey(rand.Reader))), "has an unsupported type", both},
		"certificate":         {block("CERTIFICATE", []byte{1}), "is a PEM block without a key", both},
		"SSH":                 {block("OPENSSH PRIVATE KEY", []byte{1}), "is a PEM block without a key", both},
		"encrypted":           {block("ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted with a passphrase", both},
		"encrypted SEC1":      {encrypted, "is encrypted with a passphrase", both},
		"another label":       {block("RSA PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey()))), "does not match its label", both},
		"bytes cut off":       {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey()))[:1000]), "does not match its label", both},
		"empty block":         {block("PUBLIC KEY", nil), "does not match its label", both},
		"a public key":        {pkix(ed25519Key()), "is a public key, and must be a private key", private},
		"two keys":            {valid + pkcs8(p256Key()), "has 2 keys, and must have one", private},
		"blank":               {" \n", "has 0 keys, and must have one", private},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.as&private != 0 {
				refusedKeys(t, token.Keys{Secret: firstSecret, PrivateKey: test.text}, token.CheckPrivateKey(test.text), test.want)
			}
			if test.as&public != 0 {
				refusedKeys(t, token.Keys{Secret: firstSecret, AcceptedKeys: test.text}, token.CheckAcceptedKeys(test.text), test.want)
			}
		})
	}
}

// refusedKeys checks that SetKeys refuses the keys and keeps the current ones. Its error and the error check must contain want and no
// part of a key.
func refusedKeys(t *testing.T, keys token.Keys, check error, want string) {
	t.Helper()
	tokens := newTokensWith(t, token.Keys{PrivateKey: pkcs8(p256Key())})
	before, set := accessToken(t, tokens), string(tokens.JWKS())
	err := tokens.SetKeys(keys)
	for _, err := range []error{err, check} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
			continue
		}
		for line := range strings.Lines(keys.PrivateKey + keys.AcceptedKeys) {
			line = strings.TrimSpace(line)
			if len(line) > 1 && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
				t.Errorf("%v contains a part of the key", err)
			}
		}
	}
	wantAccepted(t, tokens, before)
	if got := string(tokens.JWKS()); got != set {
		t.Errorf("the set is %s, want %s as before", got, set)
	}
}
