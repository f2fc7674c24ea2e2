package token

import (
	"errors"
	"math"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// UnmarshalJSON implements json.Unmarshaler. It is strict, so that the service reads the same claims as other verifiers. Names are
// case-sensitive and must be unique, dates must be numbers, and text must be UTF-8 (RFC 7519 sections 2, 4 and 7.2). It ignores unknown
// claims.
func (c *claims) UnmarshalJSON(data []byte) error {
	var in struct {
		Issuer        string           `json:"iss"`
		Subject       string           `json:"sub"`
		Audience      jwt.ClaimStrings `json:"aud"`
		ExpiresAt     *seconds         `json:"exp"`
		NotBefore     *seconds         `json:"nbf"`
		IssuedAt      *seconds         `json:"iat"`
		ID            string           `json:"jti"`
		ClientID      string           `json:"client_id"`
		SessionID     string           `json:"sid"`
		AuthTime      *seconds         `json:"auth_time"`
		AMR           []string         `json:"amr"`
		EmailVerified bool             `json:"email_verified"`
		Roles         []string         `json:"roles"`
		Permissions   []string         `json:"permissions"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return errors.New("the claims are malformed") // the cause may contain parts of the claims
	}
	*c = claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: in.Issuer, Subject: in.Subject, Audience: in.Audience, ID: in.ID,
			ExpiresAt: in.ExpiresAt.date(), NotBefore: in.NotBefore.date(), IssuedAt: in.IssuedAt.date(),
		},
		ClientID: in.ClientID, SessionID: in.SessionID, AuthTime: in.AuthTime.date(), AMR: in.AMR, EmailVerified: in.EmailVerified,
		Roles: in.Roles, Permissions: in.Permissions,
	}
	return nil
}

// seconds is a NumericDate (RFC 7519 section 2).
type seconds float64

// maxSeconds is the end of the year 9999, which every type of time can hold.
const maxSeconds = 253_402_300_799

// date returns the date, or nil for nil. For a date out of range it returns the beginning of 1970. So a token whose exp claim is out of
// range has expired.
func (s *seconds) date() *jwt.NumericDate {
	if s == nil {
		return nil
	}
	if *s < 0 || *s > maxSeconds {
		return jwt.NewNumericDate(time.Unix(0, 0))
	}
	whole, part := math.Modf(float64(*s))
	return jwt.NewNumericDate(time.Unix(int64(whole), int64(part*float64(time.Second))))
}

// parseID parses a UUID in its canonical form.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err == nil && id.String() != s {
		err = errors.New("not in its canonical form")
	}
	return id, err
}
