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

// Keys of every kind, made once: those of RSA take their time.
var (
	ed25519Key = sync.OnceValue(func() crypto.Signer { return made(ed25519Pair()) })
	p256Key    = sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key    = sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	rsaKey     = sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	shortRSA   = sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2040)) })
)

func ed25519Pair() (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func block(label string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content}))
}

func pkcs8(private any) string {
	return block("PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(private)))
}

func pkix(private crypto.Signer) string {
	return block("PUBLIC KEY", made(x509.MarshalPKIXPublicKey(private.Public())))
}

func sec1(private crypto.Signer) string {
	return block("EC PRIVATE KEY", made(x509.MarshalECPrivateKey(private.(*ecdsa.PrivateKey))))
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
			block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + sec1(p256Key()), // as openssl ecparam -genkey writes it
		}, []string{pkix(p256Key())}},
		"RSA": {"RS256", []string{pkcs8(rsaKey()), pkcs1(rsaKey())}, []string{pkix(rsaKey()), pkcs1Public(rsaKey())}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, private := range slices.Clone(test.private) {
				test.private = append(test.private, strings.ReplaceAll(private, "\n", `\n`), strings.ReplaceAll(private, "\n", `\r\n`), strings.ReplaceAll(private, "\n", "\r\n"))
			}
			for _, private := range test.private {
				signed := accessToken(t, keyed(t, token.Keys{PrivateKey: private}))
				if alg := headerOf(t, signed)["alg"]; alg != test.alg {
					t.Errorf("it signs by %v", alg)
				}
				for _, accepted := range append(test.private, test.public...) {
					wantAccepted(t, keyed(t, token.Keys{AcceptedKeys: accepted}), signed)
					wantAccepted(t, keyed(t, token.Keys{AcceptedKeys: "a comment\n" + accepted + "\n"}), signed)
				}
			}
		})
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	t.Parallel()
	good := pkcs8(ed25519Key())
	encrypted := string(pem.EncodeToMemory(&pem.Block{
		Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: make([]byte, 48),
	}))
	const public, private, both = 1, 2, 3
	for name, test := range map[string]struct {
		text, want string
		as         int
	}{
		"no PEM":              {"correct horse battery staple", "is not PEM", both},
		"base64 of a key":     {strings.Join(strings.Split(good, "\n")[1:2], ""), "is not PEM", both},
		"cut off":             {good[:60], "was cut off", both},
		"cut off at the end":  {good[:len(good)-5], "was cut off", both},
		"second cut off":      {good + pkix(p256Key())[:70], "was cut off", both},
		"first cut off":       {good[:60] + "\n" + pkix(p256Key()), "was cut off", both},
		"text after":          {good + "x", "is not PEM", both},
		"RSA of 2040 bits":    {pkcs8(shortRSA()), "is an RSA key of 2040 bits and needs at least 2048", both},
		"public of 2040 bits": {pkix(shortRSA()), "is an RSA key of 2040 bits", both},
		"P-384":               {pkcs8(p384Key()), "is on the curve P-384, and of those only P-256", both},
		"P-384 in SEC1":       {sec1(p384Key()), "is on the curve P-384", both},
		"second is P-384":     {good + pkix(p384Key()), "is bad at key 2, which is on the curve P-384", both},
		"X25519":              {pkcs8(made(ecdh.X25519().GenerateKey(rand.Reader))), "is of another kind", both},
		"certificate":         {block("CERTIFICATE", []byte{1}), "is a PEM block of another kind", both},
		"SSH":                 {block("OPENSSH PRIVATE KEY", []byte{1}), "is a PEM block of another kind", both},
		"encrypted":           {block("ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted with a passphrase", both},
		"encrypted SEC1":      {encrypted, "is encrypted with a passphrase", both},
		"another label":       {block("RSA PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(rsaKey()))), "can't be read", both},
		"bytes cut off":       {block("PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(rsaKey()))[:1000]), "can't be read", both},
		"empty block":         {block("PUBLIC KEY", nil), "can't be read", both},
		"a public key":        {pkix(ed25519Key()), "is a public key and needs to be a private one", private},
		"two keys":            {good + pkcs8(p256Key()), "has 2 keys and needs one", private},
		"blank":               {" \n", "has 0 keys and needs one", private},
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

// refusedKeys wants keys refused for the reason that the check gives, and tokens to go on with
// the keys that they have.
func refusedKeys(t *testing.T, keys token.Keys, check error, want string) {
	t.Helper()
	tokens := keyed(t, token.Keys{PrivateKey: pkcs8(p256Key())})
	before, set := accessToken(t, tokens), string(tokens.JWKS())
	err := tokens.SetKeys(keys)
	for _, err := range []error{err, check} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
			continue
		}
		for line := range strings.Lines(keys.PrivateKey + keys.AcceptedKeys) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") && len(line) > 1 && strings.Contains(err.Error(), line) {
				t.Errorf("%v shows a part of the key", err)
			}
		}
	}
	wantAccepted(t, tokens, before)
	if got := string(tokens.JWKS()); got != set {
		t.Errorf("the set is %s, want what it was: %s", got, set)
	}
}
