package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// verifier runs the scripts in jose/ with their libraries.
type verifier struct{ node, dir string }

func newVerifier(t *testing.T) verifier {
	t.Helper()
	npm := testkit.Installed(t, "npm", "node")
	v := verifier{node: testkit.Installed(t, "node", "node"), dir: t.TempDir()}
	if err := os.CopyFS(v.dir, os.DirFS("jose")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = v.dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v: %s", err, out)
	}
	return v
}

// verify returns the claims of a token, or the reason why it is invalid.
func (v verifier) verify(token string, args ...string) (claims, failure string) {
	return v.run("verify.mjs", token, args...)
}

// run returns the output of a script, or the reason why a token is invalid.
func (v verifier) run(script, token string, args ...string) (printed, failure string) {
	cmd := exec.Command(v.node, append([]string{script}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = v.dir, strings.NewReader(token), &stdout, &stderr
	if err := cmd.Run(); err != nil && stderr.Len() == 0 {
		return "", err.Error()
	}
	return stdout.String(), strings.TrimSpace(stderr.String())
}

// newKey creates a private key, and also returns it in PEM.
func newKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// replaced returns the token with text replaced in one of its parts.
func replaced(t *testing.T, token string, part int, before, after string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil || !strings.Contains(string(text), before) {
		t.Fatalf("%s is not in %s", before, text)
	}
	parts[part] = base64.RawURLEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), before, after)))
	return strings.Join(parts, ".")
}

// signed returns the token with a signature by key.
func signed(token string, key ed25519.PrivateKey) string {
	body := token[:strings.LastIndex(token, ".")]
	return body + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(body)))
}

func TestJoseVerifiesAccessTokensByThePublishedKeys(t *testing.T) {
	t.Parallel()
	key, text := newKey(t)
	stranger, _ := newKey(t)
	s, v := startService(t, "JWT_PRIVATE_KEY="+text), newVerifier(t)
	user, keys := s.logIn("user"), "http://"+s.addr+"/.well-known/jwks.json"

	printed, failure := v.verify(user.token, keys, issuer, audience)
	var claims struct{ Sub string }
	if err := json.Unmarshal([]byte(printed), &claims); err != nil || claims.Sub != user.id {
		t.Fatalf("claims %q, %s, want those of %s", printed, failure, user.id)
	}

	const forgery, claim = "ERR_JWS_SIGNATURE_VERIFICATION_FAILED", "ERR_JWT_CLAIM_VALIDATION_FAILED"
	tampered := replaced(t, user.token, 1, user.id, "0198c0de-0000-7000-8000-000000000000")
	for name, c := range map[string]struct{ token, issuer, audience, want string }{
		"tampered":                 {tampered, issuer, audience, forgery},
		"signed by an unknown key": {signed(user.token, stranger), issuer, audience, forgery},
		"another issuer":           {user.token, "https://else.example.com", audience, claim},
		"another audience":         {user.token, issuer, "else", claim},
		"another type":             {signed(replaced(t, user.token, 0, "at+jwt", "JWT"), key), issuer, audience, claim},
	} {
		if printed, got := v.verify(c.token, keys, c.issuer, c.audience); got != c.want || printed != "" {
			t.Errorf("%s: %s%s, want %s", name, printed, got, c.want)
		}
	}
}

// TestVerifiersOfTheProfileAcceptAccessTokens verifies access tokens with two libraries that require each claim of RFC 9068 section 2.2.
// Both must accept a token of the service, and reject a token without one of the claims.
func TestVerifiersOfTheProfileAcceptAccessTokens(t *testing.T) {
	t.Parallel()
	key, text := newKey(t)
	s, v := startService(t, "JWT_PRIVATE_KEY="+text), newVerifier(t)
	user, keys := s.logIn("user"), "http://"+s.addr+"/.well-known/jwks.json"
	printed, failure := v.run("profile.mjs", user.token, keys, issuer, audience)
	if n := strings.Count(printed, `"sub":"`+user.id+`"`); n != 2 || failure != "" {
		t.Errorf("%d of 2 verifiers accept the token: %s%s", n, printed, failure)
	}
	for _, claim := range []string{"client_id", "jti", "sub", "iat", "exp", "aud", "iss"} {
		without := signed(replaced(t, user.token, 1, `"`+claim+`":`, `"not_`+claim+`":`), key)
		printed, failure := v.run("profile.mjs", without, keys, issuer, audience)
		if printed != "" || strings.Count(failure, "\n") != 1 {
			t.Errorf("a token without %s: the verifiers print %q and %q, want two refusals", claim, printed, failure)
		}
	}
}
