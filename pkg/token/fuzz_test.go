package token_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/token"
)

// FuzzVerifyAccess verifies each text as an access token. It then signs the first two parts of the text and verifies the result, to reach
// the code after the check of the signature.
func FuzzVerifyAccess(f *testing.F) {
	tokens := newTokens(f, func(c *token.Config) { c.AccessTTL = 24 * time.Hour })
	good := issue(f, tokens)
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Add(strings.Repeat(".", 100))
	f.Add(tokens.IssueRefresh(token.Refresh{SessionID: bearer.SessionID}))
	for _, alg := range []string{"none", "HS512", "RS256", "ES256", "EdDSA"} {
		forged := copyOf(f, good)
		forged.header["alg"] = alg
		f.Add(forged.signed(f))
		f.Add(forged.unsigned(f) + ".")
	}
	for _, payload := range []string{"{}", "null", "[]", `{"exp":1e400}`, `{"aud":{}}`, `{"exp":-1,"iss":"\ud800"}`} {
		header, _, _ := strings.Cut(good, ".")
		f.Add(header + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".")
	}
	f.Fuzz(func(t *testing.T, raw string) {
		checkAccepted(t, tokens, raw)
		if parts := strings.Split(raw, "."); len(parts) > 1 {
			text := parts[0] + "." + parts[1]
			checkAccepted(t, tokens, text+"."+sign(copyOf(t, good).hash, secret, text))
		}
	})
}

// checkAccepted verifies a token. If it is accepted, checkAccepted checks the token again with independent code.
func checkAccepted(t *testing.T, tokens *token.Tokens, raw string) {
	t.Helper()
	got, err := tokens.VerifyAccess(raw)
	if err != nil {
		return
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || parts[2] != sign(copyOf(t, raw).hash, secret, parts[0]+"."+parts[1]) {
		t.Fatalf("%q is accepted with an invalid signature", raw)
	}
	header := decodePart(t, parts[0])
	typ, _ := header["typ"].(string)
	if header["alg"] != "HS256" || !strings.HasSuffix(strings.ToLower(typ), "at+jwt") || header["kid"] == nil || header["crit"] != nil {
		t.Errorf("accepted with the header %v", header)
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Iss, Sub, Sid string
		Aud           jwt.ClaimStrings // a string or a list
		Exp           float64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatalf("accepted with the claims %q: %v", payload, err)
	}
	if claims.Iss != config.Issuer || !slices.Contains(claims.Aud, config.Audience) || claims.Exp <= float64(time.Now().Unix()-1) {
		t.Errorf("accepted with the claims %q", payload)
	}
	if !strings.EqualFold(got.UserID.String(), claims.Sub) || !strings.EqualFold(got.SessionID.String(), claims.Sid) {
		t.Errorf("%q is parsed as %+v", payload, got)
	}
}

func FuzzVerifyRefresh(f *testing.F) {
	tokens := newTokens(f)
	good := tokens.IssueRefresh(token.Refresh{SessionID: bearer.SessionID, Counter: 7})
	for _, raw := range []string{
		good, good[1:], good[:74], good + "A", good + "=", "", "=", strings.Repeat("A", 75), strings.Repeat("_", 75), issue(f, tokens),
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if r, err := tokens.VerifyRefresh(raw); err == nil && tokens.IssueRefresh(r) != raw {
			t.Errorf("%q is accepted as %+v, for which IssueRefresh returns another token", raw, r)
		}
	})
}
