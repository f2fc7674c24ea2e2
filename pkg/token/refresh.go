package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Refresh identifies a refresh token of a session by a counter. Only the counter of a session is stored. Equal values of Refresh give the
// same token.
type Refresh struct {
	SessionID uuid.UUID
	Counter   uint64
}

// Sizes in bytes. A refresh token has the session id, the counter, and the MAC of both.
const (
	refreshPayload = 16 + 8
	refreshSize    = refreshPayload + sha256.Size
)

// IssueRefresh returns the refresh token for r. For the same r and Keys.Secret, it always returns the same token. A session compares only
// counters. So two tokens that differ only in the secret that signed them count as one token: after one of them is used, both are used.
func (t *Tokens) IssueRefresh(r Refresh) string {
	raw := make([]byte, 0, refreshSize)
	raw = append(raw, r.SessionID[:]...)
	raw = binary.BigEndian.AppendUint64(raw, r.Counter)
	return base64.RawURLEncoding.EncodeToString(append(raw, refreshMAC(t.keys.Load().refresh[0], raw)...))
}

// VerifyRefresh verifies a refresh token and returns its content. It does not check the session. Errors: ErrInvalid.
func (t *Tokens) VerifyRefresh(encoded string) (Refresh, error) {
	if len(encoded) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return Refresh{}, fmt.Errorf("%w: not the length of a refresh token", ErrInvalid)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != refreshSize || strings.ContainsAny(encoded, "\r\n") { // base64 ignores line ends
		return Refresh{}, fmt.Errorf("%w: not in the form of a refresh token", ErrInvalid)
	}
	payload, mac := raw[:refreshPayload], raw[refreshPayload:]
	matches := func(key []byte) bool { return hmac.Equal(mac, refreshMAC(key, payload)) }
	if !slices.ContainsFunc(t.keys.Load().refresh, matches) {
		return Refresh{}, fmt.Errorf("%w: wrong MAC", ErrInvalid)
	}
	return Refresh{SessionID: uuid.UUID(payload[:16]), Counter: binary.BigEndian.Uint64(payload[16:])}, nil
}

func refreshMAC(key, payload []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(payload)
	return mac.Sum(nil)
}
