package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/token"
)

// TokenKind says whether a token is an access token or a refresh token.
type TokenKind int

// Access tokens and refresh tokens.
const (
	AccessTokenKind TokenKind = iota
	RefreshTokenKind
)

// Introspection describes an active token (RFC 7662). EmailVerified, Roles and Permissions are current: they can differ from the claims of
// the token.
type Introspection struct {
	Kind          TokenKind
	ID            string // only of an access token
	Issuer        string
	Audience      []string // only of an access token
	ClientID      string
	UserID        uuid.UUID
	SessionID     uuid.UUID
	IssuedAt      time.Time
	ExpiresAt     time.Time
	AuthTime      time.Time
	AMR           []string
	EmailVerified bool
	Roles         []string
	Permissions   []access.Permission
}

// Introspect describes an access token or a refresh token. active is false for a token that the service does not accept now, and for any
// other text. Introspect changes nothing: a refresh token stays current, and a used refresh token does not end its session.
//
// Errors: Unavailable.
func (s *Service) Introspect(ctx context.Context, raw string) (found Introspection, active bool, err error) {
	if refresh, err := s.tokens.VerifyRefresh(raw); err == nil {
		return s.introspectRefresh(ctx, refresh)
	}
	issued, err := s.tokens.ReadAccess(raw)
	if err != nil {
		return Introspection{}, false, nil
	}
	identity, err := s.store.Identify(ctx, issued.UserID, issued.SessionID)
	if err != nil {
		return Introspection{}, false, exceptNotFound(err)
	}
	found = introspectionOf(identity)
	found.Kind, found.ID, found.Issuer, found.Audience = AccessTokenKind, issued.ID, issued.Issuer, issued.Audience
	found.ClientID, found.IssuedAt, found.ExpiresAt, found.AMR = issued.ClientID, issued.IssuedAt, issued.ExpiresAt, issued.AMR
	return found, true, nil
}

// introspectRefresh describes a refresh token. Only the current token of a session is active. A used token is inactive even within the
// grace.
func (s *Service) introspectRefresh(ctx context.Context, presented token.Refresh) (found Introspection, active bool, err error) {
	session, identity, err := s.store.FindSession(ctx, presented.SessionID)
	if err != nil || session.Counter != presented.Counter {
		return Introspection{}, false, exceptNotFound(err)
	}
	found = introspectionOf(identity)
	found.Kind, found.Issuer, found.ClientID = RefreshTokenKind, s.tokens.Issuer(), s.tokens.ClientID()
	found.IssuedAt, found.ExpiresAt = session.RotatedAt, session.ExpiresAt
	found.AMR = identity.AMR
	return found, true, nil
}

func introspectionOf(id Identity) Introspection {
	return Introspection{
		UserID: id.UserID, SessionID: id.SessionID, AuthTime: id.AuthTime, EmailVerified: id.User.EmailVerified,
		Roles: id.Roles, Permissions: id.Permissions,
	}
}

// exceptNotFound returns err, or nil if err is NotFound.
func exceptNotFound(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// IsRevocable reports whether a text is a refresh token that this service issued, or an access token that has not expired. It does not
// check the session.
func (s *Service) IsRevocable(raw string) bool {
	_, ok := s.sessionOfToken(raw)
	return ok
}

// Revoke ends the session of an access token or a refresh token, even if the refresh token was used. It does nothing for an expired access
// token, for any other text, and if the session has ended. Errors: TooManyRequests, Unavailable.
func (s *Service) Revoke(ctx context.Context, raw string) error {
	session, ok := s.sessionOfToken(raw)
	if !ok {
		return nil
	}
	return s.store.EndSessionOfToken(ctx, session)
}

// sessionOfToken returns the session of a token, whether or not the session has ended.
func (s *Service) sessionOfToken(raw string) (id uuid.UUID, ok bool) {
	if id, ok := s.SessionOf(raw); ok {
		return id, true
	}
	claims, err := s.tokens.VerifyAccess(raw)
	return claims.SessionID, err == nil
}
