package token_test

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/token"
)

func TestAShortSecretIsRefused(t *testing.T) {
	t.Parallel()
	for size, valid := range map[int]bool{0: false, 31: false, 32: true, 200: true} {
		cfg := config
		cfg.Secret = strings.Repeat("x", size)
		if _, err := token.New(cfg); (err == nil) != valid {
			t.Errorf("a secret of %d bytes: %v, want accepted: %t", size, err, valid)
		}
	}
}

func TestAnAccessTokenKeepsItsContent(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	got, err := tokens.VerifyAccess(issue(t, tokens))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bearer, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAccessTokenHasTheClaimsOfItsProfile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens(t)
		f := copyOf(t, issue(t, tokens))
		kid, _ := f.header["kid"].(string)
		wantHeader := object{"alg": "HS256", "typ": "at+jwt", "kid": kid}
		if diff := cmp.Diff(wantHeader, f.header); diff != "" || kid == "" || strings.Contains(secret, kid) {
			t.Errorf("the header: %s", diff)
		}
		jti, _ := f.claims["jti"].(string)
		now := float64(time.Now().Unix())
		want := object{
			"iss": config.Issuer, "aud": []any{config.Audience}, "sub": bearer.UserID.String(), "sid": bearer.SessionID.String(),
			"iat": now, "exp": now + 900, "jti": jti, "client_id": config.ClientID,
			"auth_time": float64(bearer.AuthTime.Unix()), "amr": []any{"pwd"}, "email_verified": true,
			"roles": []any{"admin", "user"}, "permissions": []any{"users:read"},
		}
		if diff := cmp.Diff(want, f.claims); diff != "" {
			t.Errorf("the claims: %s", diff)
		}
		if next := copyOf(t, issue(t, tokens)).claims["jti"]; jti == "" || next == jti {
			t.Errorf("jti is %v, and %v in the next token, want two different values", jti, next)
		}
	})
}

func TestNoRolesAreAnEmptyListInAToken(t *testing.T) {
	t.Parallel()
	raw, err := newTokens(t).IssueAccess(token.Access{UserID: bearer.UserID, SessionID: bearer.SessionID})
	if err != nil {
		t.Fatal(err)
	}
	claims := copyOf(t, raw).claims
	got := object{"roles": claims["roles"], "permissions": claims["permissions"]}
	if diff := cmp.Diff(object{"roles": []any{}, "permissions": []any{}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAnAccessTokenExpiresInTime verifies tokens just before and at the end of their lifetime. One token is issued 0.7 s after a full
// second: rounding must not extend its lifetime.
func TestAnAccessTokenExpiresInTime(t *testing.T) {
	t.Parallel()
	for _, start := range []time.Duration{0, 700 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			tokens := newTokens(t)
			<-time.After(start)
			raw := issue(t, tokens)
			<-time.After(config.AccessTTL - start - time.Nanosecond)
			if _, err := tokens.VerifyAccess(raw); err != nil {
				t.Errorf("a nanosecond before its end: %v, want success", err)
			}
			<-time.After(time.Nanosecond)
			if _, err := tokens.VerifyAccess(raw); !errors.Is(err, token.ErrInvalid) {
				t.Errorf("at its end: %v, want ErrInvalid", err)
			}
		})
	}
}

func TestAForgedAccessTokenIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	now := time.Now().Unix()
	header := func(name string, value any) func(*forgery) { return func(f *forgery) { f.header[name] = value } }
	claim := func(name string, value any) func(*forgery) { return func(f *forgery) { f.claims[name] = value } }
	noHeader := func(name string) func(*forgery) { return func(f *forgery) { delete(f.header, name) } }
	noClaim := func(name string) func(*forgery) { return func(f *forgery) { delete(f.claims, name) } }
	for name, forge := range map[string]func(*forgery){
		"signed with another secret": func(f *forgery) { f.key = otherSecret },
		"signed with no secret":      func(f *forgery) { f.key = "" },
		"signed with its own key": func(f *forgery) {
			f.key = otherSecret
			f.header["jwk"] = object{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(otherSecret))}
		},
		"HS384":                   func(f *forgery) { f.header["alg"], f.hash = "HS384", sha512.New384 },
		"HS512":                   func(f *forgery) { f.header["alg"], f.hash = "HS512", sha512.New },
		"HS512 labeled HS256":     func(f *forgery) { f.hash = sha512.New },
		"alg in lower case":       header("alg", "hs256"),
		"alg is not text":         header("alg", 256),
		"alg is a list":           header("alg", []string{"HS256"}),
		"no alg":                  noHeader("alg"),
		"typ JWT":                 header("typ", "JWT"),
		"typ of an ID token":      header("typ", "id+jwt"),
		"typ of a refresh token":  header("typ", "rt+jwt"),
		"typ with a suffix":       header("typ", "at+jwt+x"),
		"typ is not text":         header("typ", []string{"at+jwt"}),
		"no typ":                  noHeader("typ"),
		"unknown kid":             header("kid", "other"),
		"kid is not text":         header("kid", 1),
		"empty kid":               header("kid", ""),
		"no kid":                  noHeader("kid"),
		"critical extension":      header("crit", []string{"b64"}),
		"empty crit":              header("crit", []string{}),
		"null crit":               header("crit", nil),
		"other iss":               claim("iss", "https://accounts.example.evil"),
		"iss with a slash":        claim("iss", config.Issuer+"/"),
		"iss is a list":           claim("iss", []string{config.Issuer}),
		"no iss":                  noClaim("iss"),
		"other aud":               claim("aud", "another"),
		"aud with a suffix":       claim("aud", []string{config.Audience + "s"}),
		"other audiences":         claim("aud", []string{"another", "third"}),
		"no audience in aud":      claim("aud", []string{}),
		"no aud":                  noClaim("aud"),
		"expired":                 claim("exp", now-3600),
		"expired this second":     claim("exp", now),
		"expired in this second":  claim("exp", float64(time.Now().UnixMilli())/1000),
		"exp is null":             claim("exp", nil),
		"exp is text":             claim("exp", "never"),
		"exp is 0":                claim("exp", 0),
		"no exp":                  noClaim("exp"),
		"not yet valid":           claim("nbf", now+3600),
		"sub is not an id":        claim("sub", "admin"),
		"no sub":                  noClaim("sub"),
		"sid is not an id":        claim("sid", "1"),
		"no sid":                  noClaim("sid"),
		"roles is not a list":     claim("roles", "admin"),
		"exp is quoted":           claim("exp", fmt.Sprint(now+600)),
		"exp is out of range":     claim("exp", 1e300),
		"exp is negative":         claim("exp", -1),
		"iat is quoted":           claim("iat", fmt.Sprint(now)),
		"nbf is quoted":           claim("nbf", fmt.Sprint(now)),
		"sub is a URN":            claim("sub", "urn:uuid:"+bearer.UserID.String()),
		"sub in braces":           claim("sub", "{"+bearer.UserID.String()+"}"),
		"sub without hyphens":     claim("sub", strings.ReplaceAll(bearer.UserID.String(), "-", "")),
		"sid in upper case":       claim("sid", strings.ToUpper(bearer.SessionID.String())),
		"EXP in place of exp":     func(f *forgery) { f.claims["EXP"] = f.claims["exp"]; delete(f.claims, "exp") },
		"exp of the past and EXP": func(f *forgery) { f.claims["exp"], f.claims["EXP"] = now-3600, now+600 },
		"Sub in place of sub":     func(f *forgery) { f.claims["Sub"] = f.claims["sub"]; delete(f.claims, "sub") },
	} {
		f := copyOf(t, issue(t, tokens))
		forge(f)
		wantInvalid(t, tokens, name, f.signed(t))
	}
}

// TestClaimsAreReadStrictly changes the JSON of the claims. The service must refuse claims that other verifiers could interpret
// differently.
func TestClaimsAreReadStrictly(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	valid := copyOf(t, issue(t, tokens))
	text, err := json.Marshal(valid.claims)
	if err != nil {
		t.Fatal(err)
	}
	other := "01890a5d-ac96-774b-bcce-b30209900000"
	for name, c := range map[string]struct {
		last  string // the last member of the claims
		valid bool
	}{
		"an unknown claim":         {`"scope":"all"`, true},
		"SUB and sub":              {`"SUB":"` + other + `"`, true}, // SUB is another claim
		"sub twice":                {`"sub":"` + other + `"`, false},
		"exp twice":                {`"exp":9999999999`, false},
		"EXP and exp":              {`"EXP":9999999999`, true},
		"invalid UTF-8":            {"\"x\":\"\xff\"", false},
		"an escaped name as sub":   {`"\u0073ub":"` + other + `"`, false},
		"an unpaired surrogate":    {`"x":"\ud800"`, false},
		"auth_time that is quoted": {`"auth_time":"1"`, false},
	} {
		claims := strings.TrimSuffix(string(text), "}") + "," + c.last + "}"
		if name == "auth_time that is quoted" {
			claims = strings.Replace(string(text), `"auth_time":1795000000`, c.last, 1)
		}
		unsigned := encodePart(t, valid.header) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		got, err := tokens.VerifyAccess(unsigned + "." + sign(valid.hash, valid.key, unsigned))
		if (err == nil) != c.valid || err == nil && got.UserID != bearer.UserID {
			t.Errorf("%s: got %v, %v; want accepted: %t", name, got.UserID, err, c.valid)
		}
	}
}

func wantInvalid(t *testing.T, tokens *token.Tokens, name, raw string) {
	t.Helper()
	if got, err := tokens.VerifyAccess(raw); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("%s: got %+v, %v; want ErrInvalid", name, got, err)
	}
}

// TestTheKeyDecidesTheAlgorithm presents tokens with other algorithms in the header: each without a signature, with the valid signature
// of HS256, and with an invented signature.
func TestTheKeyDecidesTheAlgorithm(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	for _, alg := range []string{
		"none", "None", "NONE", "nOnE", "none ", "", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519", "HMAC", "dir",
	} {
		f := copyOf(t, issue(t, tokens))
		f.header["alg"] = alg
		wantInvalid(t, tokens, alg+" without a signature", f.unsigned(t)+".")
		wantInvalid(t, tokens, alg+" with a valid signature", f.signed(t))
		wantInvalid(t, tokens, alg+" with a signature of its length", f.unsigned(t)+"."+strings.Repeat("A", 86))
	}
}

func TestATamperedAccessTokenIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	raw := issue(t, tokens)
	parts := strings.Split(raw, ".")
	promoted := copyOf(t, raw)
	promoted.claims["roles"] = []string{"admin", "root"}
	last := strings.IndexByte(alphabet, raw[len(raw)-1])
	for name, tampered := range map[string]string{
		"empty":                     "",
		"a dot":                     ".",
		"two dots":                  "..",
		"other claims":              promoted.unsigned(t) + "." + parts[2],
		"no signature":              parts[0] + "." + parts[1],
		"empty signature":           parts[0] + "." + parts[1] + ".",
		"truncated signature":       raw[:len(raw)-1],
		"signature of another text": parts[0] + "." + parts[1] + "." + sign(copyOf(t, raw).hash, secret, parts[1]),
		"an extra part":             raw + ".",
		"encrypted":                 raw + ".." + parts[2],
		"letter at the end":         raw + "A",
		"newline at the end":        raw + "\n",
		"newline in the middle":     raw[:20] + "\n" + raw[20:],
		"line ends in signature":    raw[:len(raw)-9] + "\r\n" + raw[len(raw)-9:],
		"space before":              " " + raw,
		"padded":                    raw + "=",
		"header padded":             parts[0] + "==." + parts[1] + "." + parts[2],
		"bits after the signature":  raw[:len(raw)-1] + alphabet[last^1:last^1+1],
		"base64 not of URLs":        parts[0] + "." + parts[1] + "." + strings.Repeat("+", 43),
		"as JSON":                   `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"huge":                      strings.Repeat(raw, 1000),
		"many dots":                 strings.Repeat(".", 1<<20),
		"a refresh token":           tokens.IssueRefresh(token.Refresh{SessionID: bearer.SessionID}),
	} {
		wantInvalid(t, tokens, name, tampered)
	}
}

// alphabet is the base64url alphabet.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestSignedPaddingIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	f := copyOf(t, issue(t, tokens))
	f.header["x"] = ""
	for len(encodePart(t, f.header))%4 == 0 { // until the encoding needs padding
		f.header["x"] = f.header["x"].(string) + "x"
	}
	text := encodePart(t, f.header)
	text += strings.Repeat("=", 4-len(text)%4) + "." + encodePart(t, f.claims)
	wantInvalid(t, tokens, "padded header", text+"."+sign(f.hash, secret, text))
}

func TestOtherFormsOfAnAccessTokenAreAccepted(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	for name, change := range map[string]func(*forgery){
		"unchanged":             func(*forgery) {},
		"aud is text":           func(f *forgery) { f.claims["aud"] = config.Audience },
		"aud has several":       func(f *forgery) { f.claims["aud"] = []string{"another", config.Audience} },
		"typ with its tree":     func(f *forgery) { f.header["typ"] = "application/at+jwt" },
		"typ in upper case":     func(f *forgery) { f.header["typ"] = "AT+JWT" },
		"unknown header":        func(f *forgery) { f.header["x"] = 1 },
		"unknown claim":         func(f *forgery) { f.claims["x"] = object{"y": nil} },
		"valid since this hour": func(f *forgery) { f.claims["nbf"] = time.Now().Unix() - 3600 },
	} {
		f := copyOf(t, issue(t, tokens))
		change(f)
		if got, err := tokens.VerifyAccess(f.signed(t)); err != nil || got.UserID != bearer.UserID {
			t.Errorf("%s: got %+v, %v; want the valid token", name, got, err)
		}
	}
}

// TestAVerifiedTokenIsVerifiedAgain covers what can change after a token was verified: its keys, and the time.
func TestAVerifiedTokenIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens(t)
		raw := issue(t, tokens)
		for _, c := range []struct {
			when string
			keys token.Keys
			wait time.Duration
			want error
		}{
			{when: "at first", keys: token.Keys{Secret: secret}},
			{when: "without its key", keys: token.Keys{Secret: otherSecret}, want: token.ErrInvalid},
			{when: "while its key is accepted", keys: token.Keys{Secret: otherSecret, AcceptedSecrets: []string{secret}}},
			{when: "after its expiry", keys: token.Keys{Secret: secret}, wait: config.AccessTTL, want: token.ErrInvalid},
		} {
			<-time.After(c.wait)
			if err := tokens.SetKeys(c.keys); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time, it is known
				if _, err := tokens.VerifyAccess(raw); !errors.Is(err, c.want) {
					t.Errorf("%s the error is %v, want %v", c.when, err, c.want)
				}
			}
		}
	})
}
