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

func TestARefreshTokenContainsSessionAndCounter(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	known := map[string]bool{}
	for _, session := range []uuid.UUID{uuid.Nil, bearer.SessionID, uuid.Max} {
		for _, counter := range []uint64{0, 1, 255, 256, math.MaxInt64, math.MaxUint64} {
			want := token.Refresh{SessionID: session, Counter: counter}
			raw := tokens.IssueRefresh(want)
			if got, err := tokens.VerifyRefresh(raw); err != nil || got != want {
				t.Errorf("VerifyRefresh = %+v, %v; want %+v", got, err, want)
			}
			if known[raw] {
				t.Errorf("the token of %+v is not unique", want)
			}
			known[raw] = true
		}
	}
}

func TestTheSameRefreshHasTheSameToken(t *testing.T) {
	t.Parallel()
	r := token.Refresh{SessionID: bearer.SessionID, Counter: 7}
	want := newTokens(t).IssueRefresh(r)
	replica := newTokens(t, func(c *token.Config) { c.Issuer, c.Audience, c.AccessTTL = "x", "y", 1 })
	if got := replica.IssueRefresh(r); got != want {
		t.Errorf("the token is %s, and with another configuration %s; want the same", want, got)
	}
}

func TestAnyFlippedBitOfARefreshTokenIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	valid := tokens.IssueRefresh(token.Refresh{SessionID: bearer.SessionID, Counter: 7})
	raw, err := base64.RawURLEncoding.DecodeString(valid)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		wantRefreshRefused(t, tokens, base64.RawURLEncoding.EncodeToString(flip(raw, bit)))
	}
	for bit := range len(valid) * 8 { // flips bits of the text: another encoding of the same bytes is invalid too
		wantRefreshRefused(t, tokens, string(flip([]byte(valid), bit)))
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
		t.Errorf("%q: got %+v, %v; want ErrInvalid", raw, got, err)
	}
}

func TestAMalformedRefreshTokenIsRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t)
	r := token.Refresh{SessionID: bearer.SessionID, Counter: 7}
	valid := tokens.IssueRefresh(r)
	for n := range len(valid) {
		wantRefreshRefused(t, tokens, valid[:n])
		wantRefreshRefused(t, tokens, valid[n+1:])
	}
	last := strings.IndexByte(alphabet, valid[len(valid)-1])
	for _, raw := range []string{
		valid[:len(valid)-1] + alphabet[last^1:last^1+1], // sets unused bits
		valid + "A", valid + "AA", valid + "AAAA", valid + "=", valid + "\n", " " + valid, valid[:9] + "\r\n" + valid[9:],
		valid + valid,
		strings.Repeat("A", len(valid)), strings.Repeat("A", 1<<20), issue(t, tokens),
		newTokens(t, func(c *token.Config) { c.Secret = otherSecret }).IssueRefresh(r),
	} {
		wantRefreshRefused(t, tokens, raw)
	}
}
