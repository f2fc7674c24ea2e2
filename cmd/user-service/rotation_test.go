package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"

	"github.com/golang-jwt/jwt/v5"
)

// TestARotationUnderLoadRefusesNoToken rotates two replicas from one secret to another, then to an Ed25519 key and to a P-256 key. It
// changes one replica after the other while clients use both.
func TestARotationUnderLoadRefusesNoToken(t *testing.T) {
	t.Parallel()
	ed, edPublic := keyPair(t, func() (crypto.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
	es, esPublic := keyPair(t, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	first, second := rand.Text()+rand.Text(), rand.Text()+rand.Text()

	files := map[string]string{"JWT_SECRET": first, "JWT_ACCEPTED_SECRETS": "", "JWT_PRIVATE_KEY": "", "JWT_ACCEPTED_KEYS": ""}
	l := startTraffic(t, files)
	spent := l.open()
	for _, step := range []struct {
		name      string
		files     map[string]string
		signs     string // the algorithm
		published []string
	}{
		{"accept the second secret", map[string]string{"JWT_ACCEPTED_SECRETS": second}, "HS256", nil},
		{"sign by the second secret", map[string]string{"JWT_SECRET": second, "JWT_ACCEPTED_SECRETS": first}, "HS256", nil},
		{"retire the first secret", map[string]string{"JWT_ACCEPTED_SECRETS": ""}, "HS256", nil},
		{"accept Ed25519", map[string]string{"JWT_ACCEPTED_KEYS": edPublic}, "HS256", []string{"EdDSA"}},
		{"sign by Ed25519", map[string]string{"JWT_PRIVATE_KEY": ed, "JWT_ACCEPTED_KEYS": ""}, "EdDSA", []string{"EdDSA"}},
		{"accept P-256", map[string]string{"JWT_ACCEPTED_KEYS": esPublic}, "EdDSA", []string{"EdDSA", "ES256"}},
		{"sign by P-256", map[string]string{"JWT_PRIVATE_KEY": es, "JWT_ACCEPTED_KEYS": edPublic}, "ES256", []string{"ES256", "EdDSA"}},
		{"retire Ed25519", map[string]string{"JWT_ACCEPTED_KEYS": ""}, "ES256", []string{"ES256"}},
	} {
		maps.Copy(files, step.files)
		for _, r := range l.replicas {
			r.rotate(files, len(step.files))
			// After the first replica, the clients use both replicas while one of them is ahead. After the second replica, the test
			// waits until no client has a token from before the step, in place of the time that docs/security/rotation.md requires.
			l.awaitRotations()
		}
		for _, r := range l.replicas {
			wantSigning(t, r, step.name, l.open().Access, step.signs, step.published)
		}
	}
	l.stop()
	for _, r := range l.replicas { // the last keys are in use
		if status, err := r.call("GET", "/users/me", spent.Access, nil, nil); err != nil || status != http.StatusUnauthorized {
			t.Errorf("an access token of the retired secret gets %d (error %v), want 401", status, err)
		}
		if status, err := r.call("POST", "/refresh", "", refreshBody(spent.Refresh), nil); err != nil || status != http.StatusUnauthorized {
			t.Errorf("a refresh token of the retired secret gets %d (error %v), want 401", status, err)
		}
	}
}

func keyPair(t *testing.T, generate func() (crypto.Signer, error)) (private, public string) {
	t.Helper()
	key, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	return encode("PRIVATE KEY", privateDER), encode("PUBLIC KEY", publicDER)
}

// wantSigning checks the key of a token, and that the replica publishes it.
func wantSigning(t *testing.T, r *replica, step, raw, alg string, published []string) {
	t.Helper()
	var set struct{ Keys []struct{ Alg, Kid string } }
	r.must("GET", "/.well-known/jwks.json", nil, &set)
	var algs, kids []string
	for _, key := range set.Keys {
		algs, kids = append(algs, key.Alg), append(kids, key.Kid)
	}
	if !slices.Equal(algs, published) {
		t.Errorf("%s: the published keys are of %v, want %v", step, algs, published)
	}
	tok, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	if tok.Header["alg"] != alg {
		t.Errorf("%s: tokens are signed by %v, want %s", step, tok.Header["alg"], alg)
	}
	if kid, _ := tok.Header["kid"].(string); alg != "HS256" && kids[0] != kid {
		t.Errorf("%s: tokens are signed with the key %s, want the first of the published keys %v", step, kid, kids)
	}
}

// pair is a token response.
type pair struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func refreshBody(token string) map[string]string { return map[string]string{"refresh_token": token} }

// traffic has two replicas and the clients that use both.
type traffic struct {
	t         *testing.T
	replicas  []*replica
	login     map[string]string
	rotations []atomic.Int64 // the rotations of each client
	done      chan struct{}
	clients   sync.WaitGroup
}

func startTraffic(t *testing.T, files map[string]string) *traffic {
	t.Helper()
	env := replicaEnvironment(t)
	l := &traffic{
		t: t, replicas: []*replica{startReplica(t, env, files), startReplica(t, env, files)},
		login:     map[string]string{"email": env["EMAIL"], "password": env["PASSWORD"]},
		rotations: make([]atomic.Int64, 4), done: make(chan struct{}),
	}
	l.replicas[0].must("POST", "/register", l.login, nil)
	for i := range l.rotations {
		tokens := l.open()
		l.clients.Go(func() { l.use(&l.rotations[i], tokens) })
	}
	t.Cleanup(l.stop)
	return l
}

// open logs in at one of the replicas.
func (l *traffic) open() (tokens pair) {
	l.t.Helper()
	l.any().must("POST", "/login", l.login, &tokens)
	return tokens
}

func (l *traffic) any() *replica { return l.replicas[mathrand.IntN(len(l.replicas))] }

func (l *traffic) stop() {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	l.clients.Wait()
}

// use runs one client. The client sends each access token to both replicas. It refreshes at one replica, or at both concurrently, and
// continues with either successor.
func (l *traffic) use(rotations *atomic.Int64, tokens pair) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		for _, r := range l.replicas {
			l.want(r.call("GET", "/users/me", tokens.Access, nil, nil))
		}
		tokens = l.turn(tokens, rotations.Load()%3 == 0)
		rotations.Add(1)
		select {
		case <-l.done:
			return
		case <-pace.C:
		}
	}
}

func (l *traffic) turn(tokens pair, race bool) pair {
	at := []*replica{l.any()}
	if race {
		at = l.replicas
	}
	next := make([]pair, len(at))
	var racing sync.WaitGroup
	for i, r := range at {
		racing.Go(func() { l.want(r.call("POST", "/refresh", "", refreshBody(tokens.Refresh), &next[i])) })
	}
	racing.Wait()
	return next[mathrand.IntN(len(next))]
}

// want fails the test if a token is refused.
func (l *traffic) want(status int, err error) {
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the status is %d", status)
	}
	if err != nil && l.t.Context().Err() == nil {
		l.t.Errorf("a client is refused: %v", err)
	}
}

// awaitRotations waits until each client has started and finished a refresh.
func (l *traffic) awaitRotations() {
	l.t.Helper()
	for i := range l.rotations {
		goal := l.rotations[i].Load() + 2 // the running refresh may have started earlier
		if !testkit.Await(context.Background(), patience, func() bool { return l.rotations[i].Load() >= goal || l.t.Failed() }) {
			l.t.Fatalf("client %d has stopped", i)
		}
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}
