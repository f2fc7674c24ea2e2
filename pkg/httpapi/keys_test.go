package httpapi_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/token"
)

func init() {
	openapi3filter.RegisterBodyDecoder("application/jwk-set+json", openapi3filter.JSONBodyDecoder)
}

type keySet struct{ Keys []struct{ Alg, Kid string } }

// privateKey returns a new Ed25519 key.
func privateKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestASecretIsNotPublished(t *testing.T) {
	t.Parallel()
	s := start(t)
	if got := string(s.call("GET", "/.well-known/jwks.json", nil).want(t, 200).body); got != `{"keys":[]}` {
		t.Errorf("the key set is %s, want an empty one", got)
	}
}

// TestAKeyIsPublishedBeforeItSigns replaces a secret with a private key in two steps: the key is first published, then it signs.
func TestAKeyIsPublishedBeforeItSigns(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := privateKey(t)
	account := s.register()
	for _, step := range []struct {
		keys token.Keys
		alg  string
	}{
		{token.Keys{Secret: secret, AcceptedKeys: key}, "HS256"},
		{token.Keys{Secret: secret, PrivateKey: key}, "EdDSA"},
	} {
		if err := s.keys(step.keys); err != nil {
			t.Fatal(err)
		}
		set := decode[keySet](t, s.call("GET", "/.well-known/jwks.json", nil).want(t, 200))
		if len(set.Keys) != 1 || set.Keys[0].Alg != "EdDSA" {
			t.Fatalf("the key set is %+v, want one key for EdDSA", set)
		}
		s.call("GET", "/users/me", nil, as(account.token)).want(t, 200) // the token of the previous step
		account = s.login(account)
		unverified, _, err := jwt.NewParser().ParseUnverified(account.token, jwt.MapClaims{})
		if err != nil {
			t.Fatal(err)
		}
		if alg := unverified.Header["alg"]; alg != step.alg {
			t.Errorf("tokens are signed with %v, want %s", alg, step.alg)
		}
		if published := unverified.Header["kid"] == set.Keys[0].Kid; published != (step.alg == "EdDSA") {
			t.Errorf("tokens have the kid %v and %s is published, want them equal only with EdDSA",
				unverified.Header["kid"], set.Keys[0].Kid)
		}
		s.call("GET", "/users/me", nil, as(account.token)).want(t, 200)
	}
}

func TestTheKeySetIsCacheable(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("GET", "/.well-known/jwks.json", nil).want(t, 200)
	if got.header.Get("Content-Type") != "application/jwk-set+json" || got.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("the header is %v, want a JWK set that may be cached for 300 seconds", got.header)
	}
	tag := header("If-None-Match", got.header.Get("ETag"))
	s.call("GET", "/.well-known/jwks.json", nil, tag).want(t, 304)
	checkIfMatch(t, s, "/.well-known/jwks.json")
	if err := s.keys(token.Keys{Secret: secret, PrivateKey: privateKey(t)}); err != nil {
		t.Fatal(err)
	}
	s.call("GET", "/.well-known/jwks.json", nil, tag).want(t, 200)
	if head := s.call("HEAD", "/.well-known/jwks.json", nil).want(t, 200); len(head.body) != 0 {
		t.Errorf("HEAD returns %q, want no body", head.body)
	}
}
