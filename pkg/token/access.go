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
	UserID        uuid.UUID
	SessionID     uuid.UUID
	AuthTime      time.Time // when the user logged in
	AMR           []string  // how (RFC 8176)
	EmailVerified bool
	Roles         []string
	Permissions   []string
}

// Bounds of what an access token carries, in the bytes that Size counts: a token has to fit into the header of a
// request, which takes 16 KiB here and less elsewhere.
const (
	MaxRoles       = 2 << 10
	MaxPermissions = 6 << 10
)

// Size is what a list of names takes in a token, before it is encoded.
func Size(names []string) (size int) {
	for _, name := range names {
		size += len(name) + len(`"",`)
	}
	return size
}

// claims are the claims of an access token: those of RFC 9068, sid of OpenID Connect Front-Channel Logout 1.0 section 3, and
// email_verified of OpenID Connect Core 1.0 section 5.1.
type claims struct {
	jwt.RegisteredClaims
	ClientID      string           `json:"client_id"`
	SessionID     string           `json:"sid"`
	AuthTime      *jwt.NumericDate `json:"auth_time"`
	AMR           []string         `json:"amr"`
	EmailVerified bool             `json:"email_verified"`
	Roles         []string         `json:"roles"`
	Permissions   []string         `json:"permissions"`
}

// AccessTTL is how long an access token is good for.
func (t *Tokens) AccessTTL() time.Duration { return t.cfg.AccessTTL }

// IssueAccess signs an access token. A list that is too long for one is left out as a whole, so that whoever
// verifies the token sees too little and not a part that looks like all.
func (t *Tokens) IssueAccess(a Access) (string, error) {
	now, signing := t.now(), t.keys.Load().signing
	tok := jwt.NewWithClaims(signing.method, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.cfg.Issuer,
			Audience:  jwt.ClaimStrings{t.cfg.Audience},
			Subject:   a.UserID.String(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(t.cfg.AccessTTL)),
			ID:        uuid.NewString(),
		},
		ClientID:      t.cfg.ClientID,
		SessionID:     a.SessionID.String(),
		AuthTime:      jwt.NewNumericDate(a.AuthTime),
		AMR:           a.AMR,
		EmailVerified: a.EmailVerified,
		Roles:         within(MaxRoles, a.Roles),
		Permissions:   within(MaxPermissions, a.Permissions),
	})
	tok.Header["typ"] = accessType
	tok.Header["kid"] = signing.id
	signed, err := tok.SignedString(signing.sign)
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
	if _, err := t.parser.ParseWithClaims(raw, &c, t.keys.Load().find); err != nil {
		return Access{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	userID, err := parseID(c.Subject)
	if err != nil {
		return Access{}, fmt.Errorf("%w: sub is not a user id", ErrInvalid)
	}
	sessionID, err := parseID(c.SessionID)
	if err != nil {
		return Access{}, fmt.Errorf("%w: sid is not a session id", ErrInvalid)
	}
	a := Access{
		UserID: userID, SessionID: sessionID, AMR: c.AMR, EmailVerified: c.EmailVerified, Roles: c.Roles, Permissions: c.Permissions,
	}
	if c.AuthTime != nil {
		a.AuthTime = c.AuthTime.Time
	}
	return a, nil
}

// find returns the key of an access token by its header. The key decides the algorithm: a
// token that names another one is refused before its signature is looked at.
func (r *keyring) find(tok *jwt.Token) (any, error) {
	typ, _ := tok.Header["typ"].(string)
	if typ = strings.ToLower(typ); typ != accessType && typ != "application/"+accessType {
		return nil, fmt.Errorf("typ is not %s", accessType)
	}
	if _, ok := tok.Header["crit"]; ok { // RFC 7515 section 4.1.11: none is understood here
		return nil, errors.New("critical extension")
	}
	kid, _ := tok.Header["kid"].(string)
	key, known := r.byID[kid]
	if !known {
		return nil, errors.New("unknown kid")
	}
	if tok.Method.Alg() != key.method.Alg() {
		return nil, errors.New("alg is not that of the key")
	}
	return key.verify, nil
}

// newParser returns a parser that takes nothing but what Tokens of this cfg may sign.
func newParser(cfg Config, now func() time.Time) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256", "EdDSA", "ES256", "RS256"}),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	)
}

// within returns the list if it is of at most so many bytes, else none. It is an empty list where null would break the
// readers of a claim.
func within(most int, list []string) []string {
	if list == nil || Size(list) > most {
		return []string{}
	}
	return list
}
