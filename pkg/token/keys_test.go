package token_test

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/token"
)

const (
	firstSecret  = "the first secret of thirty-two bytes or more"
	secondSecret = "the second secret of thirty-two bytes or more"
)

// holder is the content of the access tokens in these tests.
var holder = token.Access{UserID: uuid.Max, SessionID: uuid.Max, Roles: []string{"user"}}

// newTokensWith returns Tokens with these keys. The default secret is firstSecret.
func newTokensWith(t testing.TB, keys token.Keys) *token.Tokens {
	t.Helper()
	if keys.Secret == "" {
		keys.Secret = firstSecret
	}
	tokens, err := token.New(token.Config{Keys: keys, Issuer: "issuer", Audience: "audience", AccessTTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func accessToken(t testing.TB, tokens *token.Tokens) string {
	t.Helper()
	raw, err := tokens.IssueAccess(holder)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func headerOf(t testing.TB, raw string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func wantAccepted(t testing.TB, tokens *token.Tokens, raw string) {
	t.Helper()
	if got, err := tokens.VerifyAccess(raw); err != nil || got.UserID != holder.UserID {
		t.Errorf("got %+v, %v; want the valid token", got, err)
	}
}

func wantRejected(t testing.TB, tokens *token.Tokens, what, raw string) {
	t.Helper()
	if got, err := tokens.VerifyAccess(raw); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("%s: got %+v, %v; want ErrInvalid", what, got, err)
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	t.Parallel()
	short := firstSecret[:token.MinSecretBytes-1]
	tokens := newTokensWith(t, token.Keys{})
	for _, keys := range []token.Keys{
		{Secret: short},
		{Secret: firstSecret, AcceptedSecrets: []string{secondSecret, short}},
		{Secret: firstSecret, AcceptedSecrets: []string{""}},
		{PrivateKey: pkcs8(ed25519Key())}, // refresh tokens need a secret
	} {
		if err := tokens.SetKeys(keys); err == nil || strings.Contains(err.Error(), short) {
			t.Errorf("the error is %v, want one that does not contain the secret", err)
		}
	}
}

// step is a step of a rotation: the keys of a replica, and the algorithm with which they sign.
type step struct {
	keys token.Keys
	alg  string
}

// TestARotationRefusesNoToken issues tokens with the keys of each step of a rotation. Replicas with the keys of the same step, the
// previous step and the next step must accept these tokens.
func TestARotationRefusesNoToken(t *testing.T) {
	t.Parallel()
	ed, es := pkcs8(ed25519Key()), pkcs8(p256Key())
	steps := []step{
		{token.Keys{Secret: firstSecret}, "HS256"},
		{token.Keys{Secret: firstSecret, AcceptedSecrets: []string{secondSecret}}, "HS256"},
		{token.Keys{Secret: secondSecret, AcceptedSecrets: []string{firstSecret}}, "HS256"},
		{token.Keys{Secret: secondSecret}, "HS256"},
		{token.Keys{Secret: secondSecret, AcceptedKeys: pkix(ed25519Key())}, "HS256"},
		{token.Keys{Secret: secondSecret, PrivateKey: ed}, "EdDSA"},
		{token.Keys{Secret: secondSecret, PrivateKey: ed, AcceptedKeys: pkix(p256Key())}, "EdDSA"},
		{token.Keys{Secret: secondSecret, PrivateKey: es, AcceptedKeys: ed}, "ES256"},
		{token.Keys{Secret: secondSecret, PrivateKey: es}, "ES256"},
		{token.Keys{Secret: secondSecret, AcceptedKeys: es}, "HS256"}, // back to a secret
	}
	for i, signing := range steps {
		for _, verifying := range steps[max(0, i-1):min(len(steps), i+2)] {
			signer, verifier := newTokensWith(t, signing.keys), newTokensWith(t, verifying.keys)
			raw := accessToken(t, signer)
			if alg := headerOf(t, raw)["alg"]; alg != signing.alg {
				t.Errorf("step %d signs with %v, want %s", i, alg, signing.alg)
			}
			wantAccepted(t, verifier, raw)
			refresh := token.Refresh{SessionID: holder.SessionID, Counter: 3}
			if got, err := verifier.VerifyRefresh(signer.IssueRefresh(refresh)); err != nil || got != refresh {
				t.Errorf("step %d: VerifyRefresh = %+v, %v", i, got, err)
			}
		}
	}
}

func TestARetiredKeyIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokensWith(t, token.Keys{PrivateKey: pkcs8(ed25519Key())})
	bySecret, byKey := accessToken(t, newTokensWith(t, token.Keys{})), accessToken(t, tokens)
	refresh := tokens.IssueRefresh(token.Refresh{SessionID: holder.SessionID})
	if err := tokens.SetKeys(token.Keys{Secret: secondSecret, PrivateKey: pkcs8(p256Key())}); err != nil {
		t.Fatal(err)
	}
	wantRejected(t, tokens, "by the old secret", bySecret)
	wantRejected(t, tokens, "by the old key", byKey)
	if _, err := tokens.VerifyRefresh(refresh); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a refresh token of the old secret: %v, want ErrInvalid", err)
	}
}

func TestAPrivateKeyDoesNotSignRefreshTokens(t *testing.T) {
	t.Parallel()
	refresh := token.Refresh{SessionID: holder.SessionID, Counter: 7}
	want := newTokensWith(t, token.Keys{}).IssueRefresh(refresh)
	if got := newTokensWith(t, token.Keys{PrivateKey: pkcs8(rsaKey())}).IssueRefresh(refresh); got != want {
		t.Errorf("with a private key the refresh token is %s, want %s", got, want)
	}
}

// TestThumbprints compares the kid of a key with the thumbprint in RFC 8037 appendix A.3.
func TestThumbprints(t *testing.T) {
	t.Parallel()
	seed := must(base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
	raw := accessToken(t, newTokensWith(t, token.Keys{PrivateKey: pkcs8(ed25519.NewKeyFromSeed(seed))}))
	if kid := headerOf(t, raw)["kid"]; kid != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("the kid is %v, want the thumbprint", kid)
	}
}

func TestTheJWKSHasPublicKeysOnly(t *testing.T) {
	t.Parallel()
	if got := string(newTokensWith(t, token.Keys{AcceptedSecrets: []string{secondSecret}}).JWKS()); got != `{"keys":[]}` {
		t.Errorf("the set of secrets is %s", got)
	}
	accepted := pkix(ed25519Key()) + pkcs8(rsaKey()) + pkcs8(p256Key())
	tokens := newTokensWith(t, token.Keys{PrivateKey: pkcs8(p256Key()), AcceptedKeys: accepted})
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(tokens.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	want := []struct{ alg, members string }{{"ES256", "crv x y"}, {"EdDSA", "crv x"}, {"RS256", "n e"}}
	if len(set.Keys) != len(want) {
		t.Fatalf("%d keys are published: %s", len(set.Keys), tokens.JWKS())
	}
	for i, key := range set.Keys {
		members := strings.Fields("kty use alg kid " + want[i].members)
		for _, name := range members {
			if key[name] == "" {
				t.Errorf("key %d has no %s", i, name)
			}
		}
		if len(key) != len(members) || key["alg"] != want[i].alg || key["use"] != "sig" {
			t.Errorf("key %d is %v", i, key)
		}
	}
	if kid := headerOf(t, accessToken(t, tokens))["kid"]; kid != set.Keys[0]["kid"] {
		t.Errorf("the first kid is %s, and %v signs", set.Keys[0]["kid"], kid)
	}
}

func TestKeysMayChangeWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	rotation := []token.Keys{
		{Secret: firstSecret, AcceptedSecrets: []string{secondSecret}, AcceptedKeys: pkix(ed25519Key())},
		{Secret: secondSecret, AcceptedSecrets: []string{firstSecret}, PrivateKey: pkcs8(ed25519Key())},
	}
	tokens := newTokensWith(t, rotation[0])
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for counter := range uint64(200) {
				raw, err := tokens.IssueAccess(holder)
				if err != nil {
					t.Error(err)
				}
				wantAccepted(t, tokens, raw)
				want := token.Refresh{Counter: counter}
				if got, err := tokens.VerifyRefresh(tokens.IssueRefresh(want)); err != nil || got != want {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	for i := range 200 {
		if err := tokens.SetKeys(rotation[i%2]); err != nil {
			t.Error(err)
		}
	}
	workers.Wait()
}

// signers returns a private key for each algorithm.
func signers() map[string]crypto.Signer {
	return map[string]crypto.Signer{"EdDSA": ed25519Key(), "ES256": p256Key(), "RS256": rsaKey()}
}
