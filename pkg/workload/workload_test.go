package workload_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"user-service/pkg/user"
	"user-service/pkg/workload"
	"user-service/pkg/workload/workloadtest"
)

// codeOf returns the code of an error of Verify, or "" for nil.
func codeOf(t *testing.T, err error) user.Code {
	t.Helper()
	var known *user.Error
	if err != nil && !errors.As(err, &known) {
		t.Fatalf("the error is %v, want a *user.Error", err)
	}
	if known == nil {
		return ""
	}
	return known.Code
}

func wantCode(t *testing.T, what string, v *workload.Verifier, token string, want user.Code) {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	if got := codeOf(t, err); got != want {
		t.Errorf("%s: the error is %v, want the code %q", what, err, want)
	}
}

func TestATokenOfTheIssuerIsAccepted(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config("reader", "auditor"))
	token := issuer.Token(t, nil)
	if !v.Issued(token) {
		t.Error("the token is not one of the issuer, want one")
	}
	got, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	want := user.Workload{Subject: workloadtest.Subject, Roles: []string{"reader", "auditor"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the workload differs (-want +got):\n%s", diff)
	}
	got, err = v.Verify(t.Context(), issuer.Token(t, map[string]any{"sub": "system:serviceaccount:shop:other"}))
	if err != nil || len(got.Roles) > 0 {
		t.Errorf("another ServiceAccount has the roles %v (error %v), want none", got.Roles, err)
	}
}

func TestOtherFormsOfAValidTokenAreAccepted(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	key := issuer.Rotate(t)
	v := workload.New(issuer.Config())
	for name, token := range map[string]string{
		"one audience, as a text":   issuer.Token(t, map[string]any{"aud": "user-service"}),
		"several audiences":         issuer.Token(t, map[string]any{"aud": []string{"other", "user-service"}}),
		"no nbf, as of SPIFFE":      issuer.Token(t, map[string]any{"nbf": nil, "sub": "spiffe://example.org/ns/shop/sa/orders"}),
		"a clock slightly ahead":    issuer.Token(t, map[string]any{"nbf": time.Now().Add(10 * time.Second).Unix()}),
		"dates with a fraction":     issuer.Token(t, map[string]any{"exp": float64(time.Now().Unix()) + 60.5}),
		"the type JWT":              key.Sign(t, issuer.Claims(nil), map[string]any{"typ": "JWT"}),
		"the type JOSE":             key.Sign(t, issuer.Claims(nil), map[string]any{"typ": "JOSE"}),
		"the type of access tokens": key.Sign(t, issuer.Claims(nil), map[string]any{"typ": "application/at+jwt"}),
	} {
		wantCode(t, name, v, token, "")
	}
}

// TestForgedAndForeignTokensAreRefused has one token for each rule of RFC 8725 and RFC 7519.
func TestForgedAndForeignTokensAreRefused(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	key, forger := issuer.Rotate(t), workloadtest.NewKey(t)
	forger.ID = key.ID
	v := workload.New(issuer.Config("reader"))
	claim := func(name string, value any) string { return issuer.Token(t, map[string]any{name: value}) }
	header := func(name string, value any) string {
		return key.Sign(t, issuer.Claims(nil), map[string]any{name: value})
	}
	public, err := key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	hmac := workloadtest.Key{ID: key.ID, Method: jwt.SigningMethodHS256, Private: public}
	none := workloadtest.Key{ID: key.ID, Method: jwt.SigningMethodNone, Private: jwt.UnsafeAllowNoneSignatureType}
	valid := issuer.Token(t, nil)
	now := time.Now()
	for name, token := range map[string]string{
		"another audience":         claim("aud", []string{"other"}),
		"no audience":              claim("aud", nil),
		"expired":                  claim("exp", now.Add(-time.Second).Unix()),
		"no exp":                   claim("exp", nil),
		"exp as a text":            claim("exp", "9999999999"),
		"exp out of range":         claim("exp", 1e300),
		"not valid yet":            claim("nbf", now.Add(time.Minute).Unix()),
		"nbf out of range":         claim("nbf", 1e300),
		"another issuer":           claim("iss", "https://issuer.example"),
		"no issuer":                claim("iss", nil),
		"the issuer with a slash":  claim("iss", issuer.URL+"/"),
		"no sub":                   claim("sub", nil),
		"an empty sub":             claim("sub", ""),
		"a sub with a line break":  claim("sub", "orders\r\nX-User-Roles: admin"),
		"a sub with a blank":       claim("sub", "system:serviceaccount:shop:orders "),
		"a sub that is too long":   claim("sub", strings.Repeat("x", 2049)),
		"a forged signature":       forger.Sign(t, issuer.Claims(nil), nil),
		"an unknown key":           workloadtest.NewKey(t).Sign(t, issuer.Claims(nil), nil),
		"no kid":                   header("kid", nil),
		"a kid that is no text":    header("kid", 7),
		"the type of logout":       header("typ", "logout+jwt"),
		"a critical extension":     header("crit", []string{"exp"}),
		"an HMAC with the key":     hmac.Sign(t, issuer.Claims(nil), nil),
		"no signature":             none.Sign(t, issuer.Claims(nil), nil),
		"a changed claim":          changed(t, valid),
		"a repeated claim":         repeated(t, key, issuer),
		"a line break":             valid[:20] + "\n" + valid[20:],
		"without the last segment": valid[:strings.LastIndex(valid, ".")],
		"no token":                 "x",
	} {
		wantCode(t, name, v, token, user.InvalidAccessToken)
	}
	wantCode(t, "the valid token", v, valid, "")
}

// changed replaces the sub of a token, and keeps the signature.
func changed(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), "orders", "admins", 1)))
	return strings.Join(parts, ".")
}

// rawClaims are claims with a given encoding.
type rawClaims struct {
	jwt.MapClaims
	raw string
}

func (c rawClaims) MarshalJSON() ([]byte, error) { return []byte(c.raw), nil }

// repeated returns a token with two members sub and a valid signature.
func repeated(t *testing.T, key workloadtest.Key, issuer *workloadtest.Issuer) string {
	t.Helper()
	raw, err := json.Marshal(issuer.Claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(t, rawClaims{raw: `{"sub":"admin",` + string(raw[1:])}, nil)
}

// TestTheKeyDecidesTheAlgorithm serves keys of each type, with and without alg.
func TestTheKeyDecidesTheAlgorithm(t *testing.T) {
	t.Parallel()
	big, errBig := rsa.GenerateKey(rand.Reader, 2048)
	small, errSmall := rsa.GenerateKey(rand.Reader, 1024)
	p384, errP384 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edwards, errEdwards := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errBig, errSmall, errP384, errEdwards); err != nil {
		t.Fatal(err)
	}
	secret := []byte(rand.Text() + rand.Text())
	for name, c := range map[string]struct {
		key  jose.JSONWebKey
		sign workloadtest.Key
		want user.Code
	}{
		"RSA": {jose.JSONWebKey{Key: big.Public()}, workloadtest.Key{Method: jwt.SigningMethodRS256, Private: big}, ""},
		"RSA, as it says": {
			jose.JSONWebKey{Key: big.Public(), Algorithm: "PS256"},
			workloadtest.Key{Method: jwt.SigningMethodPS256, Private: big},
			"",
		},
		"RSA, not as it says": {
			jose.JSONWebKey{Key: big.Public(), Algorithm: "RS256"},
			workloadtest.Key{Method: jwt.SigningMethodPS256, Private: big},
			user.InvalidAccessToken,
		},
		"RSA, another algorithm": {
			jose.JSONWebKey{Key: big.Public()},
			workloadtest.Key{Method: jwt.SigningMethodRS512, Private: big},
			user.InvalidAccessToken,
		},
		"RSA with few bits": {jose.JSONWebKey{Key: small.Public()}, workloadtest.Key{
			Method:  jwt.SigningMethodRS256,
			Private: small,
		}, user.InvalidAccessToken},
		"P-384": {jose.JSONWebKey{Key: p384.Public()}, workloadtest.Key{Method: jwt.SigningMethodES384, Private: p384}, ""},
		"Ed25519": {jose.JSONWebKey{Key: edwards.Public()}, workloadtest.Key{
			Method:  jwt.SigningMethodEdDSA,
			Private: edwards,
		}, ""},
		"for encryption": {jose.JSONWebKey{Key: big.Public(), Use: "enc"}, workloadtest.Key{
			Method:  jwt.SigningMethodRS256,
			Private: big,
		}, user.InvalidAccessToken},
		"a symmetric key in public": {
			jose.JSONWebKey{Key: secret},
			workloadtest.Key{Method: jwt.SigningMethodHS256, Private: secret},
			user.InvalidAccessToken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := workloadtest.New(t)
			c.key.KeyID, c.sign.ID = "1", "1"
			issuer.Serve(c.key)
			wantCode(t, name, workload.New(issuer.Config()), c.sign.Sign(t, issuer.Claims(nil), nil), c.want)
		})
	}
}

// TestOnlyTheIssuerSelectsTheVerifier covers tokens that belong to the verifier of access tokens, and malformed tokens.
func TestOnlyTheIssuerSelectsTheVerifier(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	for _, token := range []string{
		"", "x", "a.b.c", issuer.Token(t, map[string]any{"iss": "user-service"}), issuer.Token(t, map[string]any{"iss": nil}),
		issuer.Token(t, map[string]any{"iss": issuer.URL + "/"}), issuer.Token(t, nil) + ".x",
	} {
		if v.Issued(token) {
			t.Errorf("%.40q is a token of the issuer, want none", token)
		}
	}
	if requests := issuer.Requests(workloadtest.KeysPath); len(requests) > 0 {
		t.Errorf("%d requests for keys, want none", len(requests))
	}
}

func run(t *testing.T, v *workload.Verifier) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { v.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
}
