package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// accessType is the typ header of an access token (RFC 9068 section 2.1).
const accessType = "at+jwt"

// Access is what an access token says about its bearer.
type Access struct {
	UserID      uuid.UUID
	SessionID   uuid.UUID
	Roles       []string
	Permissions []string
}

// claims are the claims of an access token: those of RFC 9068, and sid of OpenID
// Connect Front-Channel Logout 1.0 section 3.
type claims struct {
	jwt.RegisteredClaims
	SessionID   string   `json:"sid"`
	Roles       []string `json:"roles"`
	Permissions []string `json:"permissions"`
}

// AccessTTL is how long an access token is good for.
func (t *Tokens) AccessTTL() time.Duration { return t.cfg.AccessTTL }

// IssueAccess signs an access token.
func (t *Tokens) IssueAccess(a Access) (string, error) {
	now := t.now()
	tok := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.cfg.Issuer,
			Audience:  jwt.ClaimStrings{t.cfg.Audience},
			Subject:   a.UserID.String(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.AccessTTL)),
			ID:        uuid.NewString(),
		},
		SessionID:   a.SessionID.String(),
		Roles:       orEmpty(a.Roles),
		Permissions: orEmpty(a.Permissions),
	})
	tok.Header["typ"] = accessType
	tok.Header["kid"] = t.kid
	signed, err := tok.SignedString(t.signingKey)
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	return signed, nil
}

// VerifyAccess returns what an access token says, or ErrInvalid. It follows RFC 8725:
// the key decides the algorithm, and typ, iss, aud and exp are demanded.
func (t *Tokens) VerifyAccess(raw string) (Access, error) {
	if strings.ContainsAny(raw, "\r\n") { // base64 skips line ends
		return Access{}, fmt.Errorf("%w: not in the form of an access token", ErrInvalid)
	}
	var c claims
	if _, err := t.parser.ParseWithClaims(raw, &c, t.accessKey); err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	userID, err := uuid.Parse(c.Subject)
	if err != nil {
		return Access{}, fmt.Errorf("%w: sub is no user id", ErrInvalid)
	}
	sessionID, err := uuid.Parse(c.SessionID)
	if err != nil {
		return Access{}, fmt.Errorf("%w: sid is no session id", ErrInvalid)
	}
	return Access{UserID: userID, SessionID: sessionID, Roles: c.Roles, Permissions: c.Permissions}, nil
}

// accessKey finds the key of an access token by its header.
func (t *Tokens) accessKey(tok *jwt.Token) (any, error) {
	typ, _ := tok.Header["typ"].(string)
	if typ = strings.ToLower(typ); typ != accessType && typ != "application/"+accessType {
		return nil, fmt.Errorf("typ is not %s", accessType)
	}
	if _, ok := tok.Header["crit"]; ok { // RFC 7515 section 4.1.11: none is understood here
		return nil, errors.New("critical extension")
	}
	if kid, _ := tok.Header["kid"].(string); kid != t.kid {
		return nil, errors.New("unknown kid")
	}
	return t.signingKey, nil
}

// newParser returns a parser that takes nothing but what Tokens of this cfg sign.
func newParser(cfg Config, now func() time.Time) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	)
}

// orEmpty makes a claim an empty list, where null would break its readers.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
