package user

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/token"
)

// refreshGrace is how long after its use a refresh token still gives its successor,
// so that a client that raced itself is not taken for a thief.
const refreshGrace = 10 * time.Second

// MaxSessions is how many living sessions a user has at most. One more ends the one that was not used for longest.
const MaxSessions = 100

// TokenPair is what a login or a refresh gives.
type TokenPair struct {
	Access    string
	ExpiresIn time.Duration // how long Access is good for
	Refresh   string
}

// Refresh turns a refresh token into a new pair and makes it a spent one. A spent
// token ends its session (OAuth 2.0 Security BCP, RFC 9700 section 4.14.2), save the
// last one within the grace, which gives the very same successor: to the byte, unless the
// secret has changed in between, and then one that does all the same.
//
// Errors: InvalidRefreshToken, Unavailable.
func (s *Service) Refresh(ctx context.Context, refreshToken string) (TokenPair, error) {
	named, err := s.tokens.VerifyRefresh(refreshToken)
	if err != nil {
		return TokenPair{}, s.recordRefusal(ctx, Audit{Action: TokenRefused, Detail: Detail{Purpose: RefreshToken}}, errRefreshToken(err))
	}
	var living uint64
	var turn Rotation
	identity, err := s.store.RotateSession(ctx, named.SessionID, func(session Session, now time.Time) Rotation {
		turn = s.rotate(OriginOf(ctx), session, named.Counter, now)
		if turn.Session != nil {
			session = *turn.Session
		}
		living = session.Counter
		return turn
	})
	switch {
	case isNotFound(err) && turn.End == "": // it had ended before
		return TokenPair{}, s.recordRefusal(ctx, Audit{Action: SessionUsedAfterEnd, Detail: Detail{SessionID: named.SessionID}}, errRefreshToken(err))
	case isNotFound(err):
		if turn.End == TokenReused {
			s.cfg.Observer.TokenReused()
		}
		return TokenPair{}, errRefreshToken(err)
	case err != nil:
		return TokenPair{}, err
	}
	return s.issueTokens(identity, living)
}

// SessionOf returns the session that a refresh token names, whether or not that session stands. ok is false for a token
// that the service has not made.
func (s *Service) SessionOf(refreshToken string) (id uuid.UUID, ok bool) {
	named, err := s.tokens.VerifyRefresh(refreshToken)
	return named.SessionID, err == nil
}

// OwnerOf returns the user of a session. living is false for a session that has ended. Errors: Unavailable.
func (s *Service) OwnerOf(ctx context.Context, session uuid.UUID) (owner uuid.UUID, living bool, err error) {
	owner, err = s.store.OwnerOf(ctx, session)
	if isNotFound(err) {
		return uuid.Nil, false, nil
	}
	return owner, err == nil, err
}

// rotate decides what the shown refresh token, the counter-th, does to its session now.
func (s *Service) rotate(from Origin, session Session, counter uint64, now time.Time) Rotation {
	switch {
	case !session.ExpiresAt.After(now):
		return Rotation{End: SessionUsedAfterEnd}
	case counter == session.Counter:
		session.Counter++
		session.RotatedAt = now
		session.ExpiresAt = s.expiry(session)
		session.UserAgent, session.IP = from.UserAgent, from.IP
		return Rotation{Session: &session}
	case counter+1 == session.Counter && now.Sub(session.RotatedAt).Abs() <= refreshGrace: // the clock may have been set back
		return Rotation{}
	default:
		return Rotation{End: TokenReused}
	}
}

// recordRefusal notes what was refused, and returns the refusal.
func (s *Service) recordRefusal(ctx context.Context, entry Audit, refusal error) error {
	if err := s.store.RecordAudit(ctx, entry); err != nil {
		return err
	}
	return refusal
}

// expiry is when a session ends unless it is turned again.
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
		UserID: id.UserID, SessionID: id.SessionID, AuthTime: id.AuthTime, AMR: []string{"pwd"}, EmailVerified: id.User.EmailVerified,
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

// Logout ends the session of the caller. Errors: those of a grant, Unavailable.
func (s *Service) Logout(ctx context.Context, grant access.Grant) error {
	return s.store.EndSession(ctx, grant, grant.Caller().SessionID)
}

// LogoutByRefreshToken ends the session of a refresh token, whether or not the token was used. It does nothing if the session has ended.
// Errors: InvalidRefreshToken (the service has not issued the token), Unavailable.
func (s *Service) LogoutByRefreshToken(ctx context.Context, refreshToken string) error {
	session, ok := s.SessionOf(refreshToken)
	if !ok { // not recorded: no quota bounds how often that happens
		return errRefreshToken(nil)
	}
	return s.store.EndSessionOfToken(ctx, session)
}

// Sessions returns the living sessions of a user, newest first. Errors: NotFound, Unavailable.
func (s *Service) Sessions(ctx context.Context, id uuid.UUID) ([]Session, error) {
	return s.store.Sessions(ctx, id)
}

// EndSession ends one session of a user. Errors: those of a grant, NotFound, Unavailable.
func (s *Service) EndSession(ctx context.Context, grant access.Grant, sessionID uuid.UUID) error {
	return s.store.EndSession(ctx, grant, sessionID)
}

// EndSessions ends all sessions of a user. Errors: those of a grant, NotFound, Unavailable.
func (s *Service) EndSessions(ctx context.Context, grant access.Grant) error {
	return s.store.EndSessions(ctx, grant)
}

// VerifyAccess returns what an access token says, without a query. Errors: InvalidAccessToken.
func (s *Service) VerifyAccess(accessToken string) (token.Access, error) {
	claims, err := s.tokens.VerifyAccess(accessToken)
	if err != nil {
		return token.Access{}, errAccessToken(err)
	}
	return claims, nil
}

// Identify returns the caller with an access token. An ended session, a disabled or erased user, and changed roles take
// effect immediately, at the cost of the one query that reads the caller's account.
//
// Errors: InvalidAccessToken, Unavailable.
func (s *Service) Identify(ctx context.Context, claims token.Access) (Identity, error) {
	identity, err := s.store.Identify(ctx, claims.UserID, claims.SessionID)
	if isNotFound(err) {
		return Identity{}, errAccessToken(err)
	}
	return identity, err
}

// PublicKeys returns the keys that verify access tokens elsewhere, as a JWK set.
func (s *Service) PublicKeys() []byte { return s.tokens.JWKS() }

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == NotFound
}

func errCredentials() error {
	return &Error{Code: InvalidCredentials, Detail: "The email or the password is wrong."}
}

func errAccessToken(cause error) error {
	return &Error{Code: InvalidAccessToken, Detail: "The access token is not valid (any more); log in or refresh it.", Err: cause}
}

func errRefreshToken(cause error) error {
	return &Error{Code: InvalidRefreshToken, Detail: "The refresh token is not valid (any more); log in again.", Err: cause}
}

// ErrForbidden returns the error of a caller who lacks a permission.
func ErrForbidden() error {
	return &Error{Code: Forbidden, Detail: "The caller lacks a permission that this needs."}
}

// ErrSessionEnded returns the error of a caller whose session has ended, or whose account is not active.
func ErrSessionEnded() error { return errAccessToken(nil) }

func errReauthenticate() error {
	return &Error{Code: ReauthenticationRequired, Detail: "This change needs your password, as current_password."}
}
