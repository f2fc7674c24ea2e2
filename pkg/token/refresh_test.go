package token_test

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/token"
)

func TestARefreshTokenNamesWhatItWasMadeOf(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	seen := map[string]bool{}
	for _, session := range []uuid.UUID{uuid.Nil, bearer.SessionID, uuid.Max} {
		for _, counter := range []uint64{0, 1, 255, 256, math.MaxInt64, math.MaxUint64} {
			want := token.Refresh{SessionID: session, Counter: counter}
			raw := tokens.IssueRefresh(want)
			if got, err := tokens.VerifyRefresh(raw); err != nil || got != want {
				t.Errorf("%+v comes back as %+v, %v", want, got, err)
			}
			if seen[raw] {
				t.Errorf("%+v has the token of another", want)
			}
			seen[raw] = true
		}
	}
}

func TestTheSameRefreshMakesTheSameToken(t *testing.T) {
	t.Parallel()
	r := token.Refresh{SessionID: bearer.SessionID, Counter: 7}
	want := newTokens(t).IssueRefresh(r)
	otherwise := newTokens(t, func(c *token.Config) { c.Issuer, c.Audience, c.AccessTTL = "x", "y", 1 })
	if got := otherwise.IssueRefresh(r); got != want {
		t.Errorf("%s, and on another replica %s", want, got)
	}
}

func TestAnyFlippedBitOfARefreshTokenIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	good := tokens.IssueRefresh(token.Refresh{SessionID: bearer.SessionID, Counter: 7})
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		wantRefreshRefused(t, tokens, base64.RawURLEncoding.EncodeToString(flip(raw, bit)))
	}
	for bit := range len(good) * 8 { // of the text: what decodes to the same bytes is another token too
		wantRefreshRefused(t, tokens, string(flip([]byte(good), bit)))
	}
}

func flip(data []byte, bit int) []byte {
	out := append([]byte{}, data...)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

func wantRefreshRefused(t *testing.T, tokens *token.Tokens, raw string) {
	t.Helper()
	if got, err := tokens.VerifyRefresh(raw); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("%q: got %+v, %v", raw, got, err)
	}
}

func TestARefreshTokenOfOtherFormIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	r := token.Refresh{SessionID: bearer.SessionID, Counter: 7}
	good := tokens.IssueRefresh(r)
	for n := range len(good) {
		wantRefreshRefused(t, tokens, good[:n])
		wantRefreshRefused(t, tokens, good[n+1:])
	}
	last := strings.IndexByte(alphabet, good[len(good)-1])
	for _, raw := range []string{
		good[:len(good)-1] + alphabet[last^1:last^1+1], // bits after the end
		good + "A", good + "AA", good + "AAAA", good + "=", good + "\n", " " + good, good[:9] + "\r\n" + good[9:], good + good,
		strings.Repeat("A", len(good)), strings.Repeat("A", 1<<20), issue(t, tokens),
		newTokens(t, func(c *token.Config) { c.Secret = otherSecret }).IssueRefresh(r),
	} {
		wantRefreshRefused(t, tokens, raw)
	}
}
