// Package workloadtest is an issuer of workloads' tokens for tests: an HTTPS server on loopback with its own certificate authority.
package workloadtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/workload"
)

// The paths of the issuer.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/keys"
)

// Subject is the sub of tokens of the ServiceAccount shop/orders.
const Subject = "system:serviceaccount:shop:orders"

// Issuer issues tokens and serves the keys. It is safe for concurrent use.
type Issuer struct {
	*httptest.Server

	CAFile string

	mu       sync.Mutex
	signing  Key
	keys     []jose.JSONWebKey
	answers  map[string]http.HandlerFunc
	requests []*http.Request
}

// Key signs tokens.
type Key struct {
	ID      string
	Method  jwt.SigningMethod
	Private any
}

// New starts an issuer with one ES256 key. It stops at the end of the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{answers: map[string]http.HandlerFunc{}}
	i.Server = httptest.NewUnstartedServer(i)
	i.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate cause errors
	i.StartTLS()
	t.Cleanup(i.Close)
	i.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	if err := os.WriteFile(i.CAFile, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	i.Rotate(t)
	return i
}

// Config returns the configuration of a verifier that discovers the keys, with roles for Subject.
func (i *Issuer) Config(roles ...string) workload.Config {
	return workload.Config{
		Issuer: i.URL, Audience: "user-service", CAFile: i.CAFile, Roles: map[string][]string{Subject: roles},
	}
}

// NewKey returns a new ES256 key, which the issuer does not know.
func NewKey(t testing.TB) Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{ID: rand.Text(), Method: jwt.SigningMethodES256, Private: private}
}

// Public returns the key as the issuer serves it.
func (k Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{
		Key: k.Private.(crypto.Signer).Public(), KeyID: k.ID, Use: "sig",
		Algorithm: k.Method.Alg(),
	} //nolint:forcetypeassert // see NewKey
}

// Rotate replaces all keys with a new one.
func (i *Issuer) Rotate(t testing.TB) Key {
	t.Helper()
	key := NewKey(t)
	i.Serve(key.Public())
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing = key
	return key
}

// Serve replaces the served keys.
func (i *Issuer) Serve(keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Answer replaces the response of a path; nil restores it.
func (i *Issuer) Answer(path string, with http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = with
}

// Requests returns the received requests for a path.
func (i *Issuer) Requests(path string) []*http.Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(i.requests), func(r *http.Request) bool { return r.URL.Path != path })
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests = append(i.requests, r)
	answer, keys := i.answers[r.URL.Path], i.keys
	i.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == DiscoveryPath:
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + KeysPath})
	case r.URL.Path == KeysPath:
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	default:
		http.NotFound(w, r)
	}
}

// Claims returns the claims of a valid token of Subject, with changes. A nil value removes a claim.
func (i *Issuer) Claims(changes map[string]any) jwt.MapClaims {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": i.URL, "sub": Subject, "aud": []string{"user-service"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// Token returns a token that the current key signs, in the form of Kubernetes, with changed claims.
func (i *Issuer) Token(t testing.TB, changes map[string]any) string {
	t.Helper()
	i.mu.Lock()
	key := i.signing
	i.mu.Unlock()
	return key.Sign(t, i.Claims(changes), nil)
}

// Sign returns a token with these claims. header changes the header; a nil value removes a parameter.
func (k Key) Sign(t testing.TB, claims jwt.Claims, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(k.Method, claims)
	delete(token.Header, "typ") // as Kubernetes does
	token.Header["kid"] = k.ID
	maps.Copy(token.Header, header)
	maps.DeleteFunc(token.Header, func(_ string, value any) bool { return value == nil })
	signed, err := token.SignedString(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// WriteToken writes a token for fetching the keys to a new file, and returns its path.
func WriteToken(t testing.TB, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(strings.TrimSpace(token)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
