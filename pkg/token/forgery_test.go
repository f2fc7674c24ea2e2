package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/token"
)

const (
	secret      = "a secret of at least thirty-two bytes"
	otherSecret = "another secret of thirty-two bytes or more"
)

var config = token.Config{
	Keys: token.Keys{Secret: secret}, Issuer: "https://accounts.example", Audience: "example", ClientID: "shop",
	AccessTTL: 15 * time.Minute,
}

func newTokens(t testing.TB, change ...func(*token.Config)) *token.Tokens {
	t.Helper()
	cfg := config
	for _, c := range change {
		c(&cfg)
	}
	tokens, err := token.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// bearer is the content of the access tokens in these tests.
var bearer = token.Access{
	UserID:      uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"),
	SessionID:   uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058"),
	AuthTime:    time.Unix(1_795_000_000, 0),
	AMR:         []string{"pwd"},
	Roles:       []string{"admin", "user"},
	Permissions: []string{"users:read"},

	EmailVerified: true,
}

func issue(t testing.TB, tokens *token.Tokens) string {
	t.Helper()
	raw, err := tokens.IssueAccess(bearer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// object is the header or the payload of a token.
type object map[string]any

// forgery is an access token that a test can modify and sign again.
type forgery struct {
	header, claims object
	key            string
	hash           func() hash.Hash
}

// copyOf decodes a valid token into a forgery.
func copyOf(t testing.TB, raw string) *forgery {
	t.Helper()
	parts := strings.Split(raw, ".")
	return &forgery{header: decodePart(t, parts[0]), claims: decodePart(t, parts[1]), key: secret, hash: sha256.New}
}

func decodePart(t testing.TB, part string) object {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var out object
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *forgery) unsigned(t testing.TB) string {
	t.Helper()
	return encodePart(t, f.header) + "." + encodePart(t, f.claims)
}

func (f *forgery) signed(t testing.TB) string {
	t.Helper()
	text := f.unsigned(t)
	return text + "." + sign(f.hash, f.key, text)
}

func encodePart(t testing.TB, part object) string {
	t.Helper()
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func sign(h func() hash.Hash, key, text string) string {
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
