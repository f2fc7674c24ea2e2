package user

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/token"
)

// refreshGrace is the time after a rotation in which the previous refresh token still returns the current one. So a client that sends two
// refreshes concurrently keeps its session.
const refreshGrace = 10 * time.Second

// MaxSessions is the maximum number of sessions of a user. A login beyond this number ends the least recently used session.
const MaxSessions = 100

// TokenPair is the result of a login or a refresh.
type TokenPair struct {
	Access    string
	ExpiresIn time.Duration // the lifetime of Access
	Refresh   string
}

// CheckRefreshToken returns an error if the token is empty.
func CheckRefreshToken(token string) FieldErrors {
	var errs FieldErrors
	if token == "" {
		errs.Add("/refresh_token", Required, "is required")
	}
	return errs
}

// Refresh rotates a refresh token and returns new tokens. If a used token is presented, its session ends (RFC 9700 section 4.14.2).
// Within the grace, the token just before the current one returns the current token again. The returned token is the same byte by byte,
// unless the signing secret was changed in between.
//
// Errors: Invalid, InvalidRefreshToken, Unavailable.
func (s *Service) Refresh(ctx context.Context, refreshToken string) (TokenPair, error) {
	if err := CheckRefreshToken(refreshToken).Err(); err != nil {
		return TokenPair{}, err
	}
	presented, err := s.tokens.VerifyRefresh(refreshToken)
	if err != nil {
		return TokenPair{}, s.recordRefusal(ctx, Audit{Action: TokenRefused, Detail: Detail{Purpose: RefreshToken}}, errRefreshToken(err))
	}
	identity, rotation, err := s.store.RotateSession(ctx, presented.SessionID, func(session Session, now time.Time) Rotation {
		return s.rotate(OriginOf(ctx), session, presented.Counter, now)
	})
	switch {
	case isNotFound(err):
		// The entry does not contain the id of the session. With this id, the address in the entry could be linked to a user who was
		// erased.
		return TokenPair{}, s.recordRefusal(ctx, Audit{Action: SessionUsedAfterEnd}, errRefreshToken(err))
	case err != nil:
		return TokenPair{}, err
	case rotation.Outcome == Reused:
		s.cfg.Observer.TokenReused()
		return TokenPair{}, errRefreshToken(nil)
	case rotation.Outcome == Expired:
		return TokenPair{}, errRefreshToken(nil)
	}
	return s.issueTokens(identity, rotation.Session.Counter)
}

// SessionOf returns the session of a refresh token, whether or not the session has ended. ok is false for a token that this service did
// not issue.
func (s *Service) SessionOf(refreshToken string) (id uuid.UUID, ok bool) {
	presented, err := s.tokens.VerifyRefresh(refreshToken)
	return presented.SessionID, err == nil
}

// OwnerOf returns the user of a session. active is false for a session that has ended. Errors: Unavailable.
func (s *Service) OwnerOf(ctx context.Context, session uuid.UUID) (owner uuid.UUID, active bool, err error) {
	owner, err = s.store.OwnerOf(ctx, session)
	if isNotFound(err) {
		return uuid.Nil, false, nil
	}
	return owner, err == nil, err
}

// rotate decides what happens to a session when its refresh token with this counter is presented.
func (s *Service) rotate(from Origin, session Session, counter uint64, now time.Time) Rotation {
	switch {
	case !session.ExpiresAt.After(now):
		return Rotation{Outcome: Expired}
	case counter == session.Counter:
		session.Counter++
		session.RotatedAt = now
		session.ExpiresAt = s.expiry(session)
		session.UserAgent, session.IP = from.UserAgent, from.IP
		return Rotation{Outcome: Rotated, Session: session}
	case counter+1 == session.Counter && now.Sub(session.RotatedAt).Abs() <= refreshGrace: // the clock may have been set back
		return Rotation{Outcome: Repeated, Session: session}
	default:
		return Rotation{Outcome: Reused}
	}
}

// recordRefusal adds an entry to the audit trail and returns the refusal.
func (s *Service) recordRefusal(ctx context.Context, entry Audit, refusal error) error {
	if err := s.store.RecordAudit(ctx, entry); err != nil {
		return err
	}
	return refusal
}

// expiry returns the time at which a session ends if it is not rotated again.
func (s *Service) expiry(session Session) time.Time {
	idle, absolute := session.RotatedAt.Add(s.cfg.RefreshIdleTTL), session.CreatedAt.Add(s.cfg.RefreshTTL)
	if idle.Before(absolute) {
		return idle
	}
	return absolute
}

func (s *Service) issueTokens(id Identity, counter uint64) (TokenPair, error) {
	permissions := make([]string, len(id.Permissions))
	for i, p := range id.Permissions {
		permissions[i] = string(p)
	}
	accessToken, err := s.tokens.IssueAccess(token.Access{
		UserID: id.UserID, SessionID: id.SessionID, AuthTime: id.AuthTime, AMR: id.AMR, EmailVerified: id.User.EmailVerified,
		Roles: id.Roles, Permissions: permissions,
	})
	if err != nil {
		return TokenPair{}, err
	}
	return TokenPair{
		Access:    accessToken,
		ExpiresIn: s.tokens.AccessTTL(),
		Refresh:   s.tokens.IssueRefresh(token.Refresh{SessionID: id.SessionID, Counter: counter}),
	}, nil
}

// Logout ends the session of the caller. Errors: the errors of a grant, Unavailable.
func (s *Service) Logout(ctx context.Context, grant access.Grant) error {
	return s.store.EndSession(ctx, grant, grant.Caller().SessionID)
}

// LogoutByRefreshToken ends the session of a refresh token, even if the token was already used. It does nothing if the session has ended.
// Errors: InvalidRefreshToken (the service has not issued the token), Unavailable.
func (s *Service) LogoutByRefreshToken(ctx context.Context, refreshToken string) error {
	session, ok := s.SessionOf(refreshToken)
	if !ok { // the refusal is not recorded, because no quota limits such requests
		return errRefreshToken(nil)
	}
	return s.store.EndSessionOfToken(ctx, session)
}

// Sessions returns the active sessions of a user, newest first. Errors: NotFound, Unavailable.
func (s *Service) Sessions(ctx context.Context, id uuid.UUID) ([]Session, error) {
	return s.store.Sessions(ctx, id)
}

// EndSession ends one session of a user. Errors: the errors of a grant, NotFound, Unavailable.
func (s *Service) EndSession(ctx context.Context, grant access.Grant, sessionID uuid.UUID) error {
	return s.store.EndSession(ctx, grant, sessionID)
}

// EndSessions ends all sessions of a user, and logins that wait for a second factor. Errors: the errors of a grant, NotFound, Unavailable.
func (s *Service) EndSessions(ctx context.Context, grant access.Grant) error {
	return s.store.EndSessions(ctx, grant)
}

// VerifyAccess returns the claims of an access token, without a query. Errors: InvalidAccessToken.
func (s *Service) VerifyAccess(accessToken string) (token.Access, error) {
	claims, err := s.tokens.VerifyAccess(accessToken)
	if err != nil {
		return token.Access{}, errAccessToken(err)
	}
	return claims, nil
}

// Identify returns the caller for the claims of an access token. It reads the session, the account and the roles of the caller in one
// query, so that every change of these takes effect immediately.
//
// Errors: InvalidAccessToken, Unavailable.
func (s *Service) Identify(ctx context.Context, claims token.Access) (Identity, error) {
	return s.identify(ctx, claims.UserID, claims.SessionID)
}

// IdentifyAgain returns the caller of a long request again, with the caller's current roles and permissions.
//
// Errors: InvalidAccessToken, if the session has ended, and Unavailable.
func (s *Service) IdentifyAgain(ctx context.Context, by Identity) (Identity, error) {
	if by.Workload != "" {
		return s.IdentifyWorkload(ctx, Workload{Subject: by.Workload, Roles: by.Roles})
	}
	return s.identify(ctx, by.UserID, by.SessionID)
}

func (s *Service) identify(ctx context.Context, id, session uuid.UUID) (Identity, error) {
	identity, err := s.store.Identify(ctx, id, session)
	if isNotFound(err) {
		return Identity{}, errAccessToken(err)
	}
	return identity, err
}

// PublicKeys returns the public keys for access tokens as a JWK set (RFC 7517).
func (s *Service) PublicKeys() []byte { return s.tokens.JWKS() }

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == NotFound
}

func errCredentials() error {
	return &Error{Code: InvalidCredentials, Detail: "The email or the password is wrong."}
}

func errAccessToken(cause error) error {
	return &Error{Code: InvalidAccessToken, Detail: "The access token is invalid or has expired; log in or refresh it.", Err: cause}
}

func errRefreshToken(cause error) error {
	return &Error{Code: InvalidRefreshToken, Detail: "The refresh token is invalid or has expired; log in again.", Err: cause}
}

// ErrForbidden returns the error for a caller who lacks a permission.
func ErrForbidden() error {
	return &Error{Code: Forbidden, Detail: "The caller lacks a permission that this request requires."}
}

// ErrNeedsFactor returns the error for a caller whose permission requires a session with a second factor.
func ErrNeedsFactor() error {
	return &Error{Code: SecondFactorRequired, Detail: "This request requires a session with a second factor; log in with one."}
}

// ErrSessionEnded returns the error for a caller whose session has ended or whose account is not active.
func ErrSessionEnded() error { return errAccessToken(nil) }

func errReauthenticate() error {
	return &Error{Code: ReauthenticationRequired, Detail: "This change requires your password as current_password."}
}
