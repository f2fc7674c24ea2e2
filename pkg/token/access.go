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

// Access is the content of an access token.
type Access struct {
	UserID        uuid.UUID
	SessionID     uuid.UUID
	AuthTime      time.Time // when the user logged in
	AMR           []string  // the authentication methods (RFC 8176)
	EmailVerified bool
	Roles         []string
	Permissions   []string
}

// Issued has all claims of an access token that the service has issued.
type Issued struct {
	Access

	ID        string // the jti claim
	Issuer    string
	Audience  []string
	ClientID  string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Limits of the lists in an access token, in bytes as Size counts them. A token must fit into the header of a request. This service
// accepts headers of up to 16 KiB; other programs accept less.
const (
	MaxRoles       = 2 << 10
	MaxPermissions = 6 << 10
)

// Size returns the size of a list of names in a token in bytes, before it is encoded in base64.
func Size(names []string) (size int) {
	for _, name := range names {
		size += len(name) + len(`"",`)
	}
	return size
}

// claims are the claims of an access token (RFC 9068). In addition, the token has sid (OpenID Connect Front-Channel Logout 1.0 section 3)
// and email_verified (OpenID Connect Core 1.0 section 5.1).
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

// AccessTTL returns how long an access token is valid.
func (t *Tokens) AccessTTL() time.Duration { return t.cfg.AccessTTL }

// IssueAccess signs an access token. It replaces a list that exceeds its limit with an empty list, because a truncated list would look
// complete to a verifier.
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
		Roles:         limited(MaxRoles, a.Roles),
		Permissions:   limited(MaxPermissions, a.Permissions),
	})
	tok.Header["typ"] = accessType
	tok.Header["kid"] = signing.id
	signed, err := tok.SignedString(signing.sign)
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	return signed, nil
}

// VerifyAccess verifies an access token and returns its content. It follows RFC 8725: the key determines the algorithm, and the token
// must have typ, iss, aud and exp. Errors: ErrInvalid.
func (t *Tokens) VerifyAccess(raw string) (Access, error) {
	issued, err := t.ReadAccess(raw)
	return issued.Access, err
}

// ReadAccess verifies an access token as VerifyAccess does, and returns all of its claims. The caller must not change the lists of the
// result. Errors: ErrInvalid.
func (t *Tokens) ReadAccess(raw string) (Issued, error) {
	keys := t.keys.Load()
	if issued, ok := t.verified.get(raw, keys, t.now()); ok {
		return issued, nil
	}
	issued, err := t.parseAccess(raw, keys)
	if err == nil {
		t.verified.add(raw, keys, issued)
	}
	return issued, err
}

func (t *Tokens) parseAccess(raw string, keys *keyring) (Issued, error) {
	if strings.ContainsAny(raw, "\r\n") { // base64 ignores line ends
		return Issued{}, fmt.Errorf("%w: not in the form of an access token", ErrInvalid)
	}
	var c claims
	if _, err := t.parser.ParseWithClaims(raw, &c, keys.find); err != nil {
		return Issued{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	userID, err := parseID(c.Subject)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: sub is not a user id", ErrInvalid)
	}
	sessionID, err := parseID(c.SessionID)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: sid is not a session id", ErrInvalid)
	}
	return Issued{
		Access: Access{
			UserID: userID, SessionID: sessionID, AuthTime: timeOf(c.AuthTime), AMR: c.AMR,
			EmailVerified: c.EmailVerified, Roles: c.Roles, Permissions: c.Permissions,
		},
		ID: c.ID, Issuer: c.Issuer, Audience: c.Audience, ClientID: c.ClientID, IssuedAt: timeOf(c.IssuedAt),
		ExpiresAt: timeOf(c.ExpiresAt),
	}, nil
}

// timeOf returns the time of a claim, or the zero time if the token does not have the claim.
func timeOf(date *jwt.NumericDate) time.Time {
	if date == nil {
		return time.Time{}
	}
	return date.Time
}

// Issuer returns the iss claim of the tokens.
func (t *Tokens) Issuer() string { return t.cfg.Issuer }

// ClientID returns the client_id claim of the tokens.
func (t *Tokens) ClientID() string { return t.cfg.ClientID }

// find returns the key that the header of an access token names. It refuses a token whose algorithm does not match the key, before the
// signature is verified.
func (r *keyring) find(tok *jwt.Token) (any, error) {
	typ, _ := tok.Header["typ"].(string)
	if typ = strings.ToLower(typ); typ != accessType && typ != "application/"+accessType {
		return nil, fmt.Errorf("typ is not %s", accessType)
	}
	if _, ok := tok.Header["crit"]; ok { // RFC 7515 section 4.1.11: no extension is supported
		return nil, errors.New("critical extension")
	}
	kid, _ := tok.Header["kid"].(string)
	key, known := r.byID[kid]
	if !known {
		return nil, errors.New("unknown kid")
	}
	if tok.Method.Alg() != key.method.Alg() {
		return nil, errors.New("alg does not match the key")
	}
	return key.verify, nil
}

// newParser returns a parser for the tokens that this configuration issues.
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

// limited returns the list, or an empty list if the list exceeds the limit. It never returns nil, because programs that read a claim may
// not accept null.
func limited(limit int, list []string) []string {
	if list == nil || Size(list) > limit {
		return []string{}
	}
	return list
}
