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

// Refresh names one refresh token of a session: the counter-th one. Nothing is
// stored but the session's counter, and the same Refresh makes the same token.
type Refresh struct {
	SessionID uuid.UUID
	Counter   uint64
}

// The bytes of a refresh token: the session id, the counter, the MAC of both.
const (
	refreshNamed = 16 + 8
	refreshSize  = refreshNamed + sha256.Size
)

// IssueRefresh returns the refresh token that r names: the same one each time, until
// Keys.Secret changes. Tokens that name the same Refresh by different secrets are one and the same to
// a session, since only the counter counts: either of them is good for one use, and spends both.
func (t *Tokens) IssueRefresh(r Refresh) string {
	raw := make([]byte, 0, refreshSize)
	raw = append(raw, r.SessionID[:]...)
	raw = binary.BigEndian.AppendUint64(raw, r.Counter)
	return base64.RawURLEncoding.EncodeToString(append(raw, refreshMAC(t.keys.Load().refresh[0], raw)...))
}

// VerifyRefresh returns what a refresh token names, or ErrInvalid. Whether the
// session still stands is not the token's to know.
func (t *Tokens) VerifyRefresh(encoded string) (Refresh, error) {
	if len(encoded) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return Refresh{}, fmt.Errorf("%w: not as long as a refresh token", ErrInvalid)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != refreshSize || strings.ContainsAny(encoded, "\r\n") { // base64 skips line ends
		return Refresh{}, fmt.Errorf("%w: not in the form of a refresh token", ErrInvalid)
	}
	named, mac := raw[:refreshNamed], raw[refreshNamed:]
	if !slices.ContainsFunc(t.keys.Load().refresh, func(key []byte) bool { return hmac.Equal(mac, refreshMAC(key, named)) }) {
		return Refresh{}, fmt.Errorf("%w: the MAC is not ours", ErrInvalid)
	}
	return Refresh{SessionID: uuid.UUID(named[:16]), Counter: binary.BigEndian.Uint64(named[16:])}, nil
}

func refreshMAC(key, named []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(named)
	return mac.Sum(nil)
}
