package workload

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxSubject is the maximum length of a sub in bytes. A SPIFFE ID can have this length; it is the longest sub of the documented
	// issuers.
	maxSubject = 2048
	// clockSkew is how far the clock of the issuer may be ahead, for a token that was just issued.
	clockSkew = 30 * time.Second
	// maxSeconds is the end of the year 9999 in Unix time. All common types of time can hold it.
	maxSeconds = 253_402_300_799
)

// algorithms are the accepted algorithms. All are asymmetric: a public key must not become an HMAC secret.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func newParser(cfg Config, now func() time.Time) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods(algorithms),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	)
}

// claims are the claims of a workload's token.
type claims struct{ jwt.RegisteredClaims }

// GetNotBefore implements jwt.Claims.
func (c claims) GetNotBefore() (*jwt.NumericDate, error) {
	if c.NotBefore == nil {
		return nil, nil
	}
	return jwt.NewNumericDate(c.NotBefore.Add(-clockSkew)), nil
}

// Validate implements jwt.ClaimsValidator. A sub may become part of a header and of the audit trail.
func (c claims) Validate() error {
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	if c.Subject == "" || len(c.Subject) > maxSubject || strings.ContainsFunc(c.Subject, invisible) {
		return errors.New("sub is not 1 to 2048 visible ASCII characters")
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. It is strict, so that the service reads the same claims as other verifiers. Names are
// case-sensitive and must be unique, dates must be numbers, and text must be UTF-8 (RFC 7519 sections 2, 4 and 7.2). It ignores unknown
// claims.
func (c *claims) UnmarshalJSON(data []byte) error {
	var in struct {
		Issuer    string           `json:"iss"`
		Subject   string           `json:"sub"`
		Audience  jwt.ClaimStrings `json:"aud"`
		ExpiresAt *float64         `json:"exp"`
		NotBefore *float64         `json:"nbf"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return errors.New("the claims are malformed") // the cause may contain parts of the claims
	}
	c.RegisteredClaims = jwt.RegisteredClaims{
		Issuer: in.Issuer, Subject: in.Subject, Audience: in.Audience,
		ExpiresAt: date(in.ExpiresAt, 0), NotBefore: date(in.NotBefore, maxSeconds),
	}
	return nil
}

// date returns the date for a NumericDate (RFC 7519 section 2), or nil for nil. For a number out of range it returns the date of invalid,
// with which the token is not valid.
func date(seconds *float64, invalid float64) *jwt.NumericDate {
	if seconds == nil {
		return nil
	}
	at := *seconds
	if at < 0 || at > maxSeconds {
		at = invalid
	}
	whole, part := math.Modf(at)
	return jwt.NewNumericDate(time.Unix(int64(whole), int64(part*float64(time.Second))))
}

// issuerOf returns the iss of a token that is not verified yet, or "" if the token has none.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || strings.ContainsAny(token, "\r\n") { // base64 ignores line ends
		return ""
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c claims
	if c.UnmarshalJSON(raw) != nil {
		return ""
	}
	return c.Issuer
}
