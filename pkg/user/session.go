package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/password"
	"user-service/pkg/token"
)

// refreshGrace is how long after its use a refresh token still gives its successor,
// so that a client that raced itself is not taken for a thief.
const refreshGrace = 10 * time.Second

// TokenPair is what a login or a refresh gives.
type TokenPair struct {
	Access    string
	ExpiresIn time.Duration // how long Access is good for
	Refresh   string
}

// Login opens a session. An unknown email, a wrong password and a disabled account
// give the very same answer after the same work.
//
// Errors: Invalid, InvalidCredentials, Overloaded, Unavailable.
func (s *Service) Login(ctx context.Context, l Login) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	cred, known, err := s.store.Credential(ctx, l.Email)
	if err != nil {
		return TokenPair{}, err
	}
	ok, rehash, err := s.verify(ctx, l.Password, cred, known)
	if err != nil {
		return TokenPair{}, err
	}
	if !ok || cred.Status != Active {
		return TokenPair{}, errCredentials()
	}
	if rehash {
		if err := s.upgrade(ctx, cred, l.Password); err != nil {
			return TokenPair{}, err
		}
	}
	return s.open(ctx, cred.UserID)
}

// verify does the same work whether or not there is a credential.
func (s *Service) verify(ctx context.Context, pw string, cred Credential, known bool) (ok, rehash bool, err error) {
	if !known {
		if err := s.hasher.VerifyNothing(ctx, pw); err != nil {
			return false, false, hashing(err)
		}
		return false, false, nil
	}
	result, err := s.hasher.Verify(ctx, pw, cred.PasswordHash)
	if err != nil && !errors.Is(err, password.ErrUnknownFormat) { // nobody can log in with a broken hash
		return false, false, hashing(err)
	}
	return result.OK, result.Rehash, nil
}

// upgrade stores the password's hash by today's parameters.
func (s *Service) upgrade(ctx context.Context, cred Credential, pw string) error {
	hash, err := s.hasher.Hash(ctx, pw)
	if err != nil {
		return hashing(err)
	}
	return s.store.UpgradeHash(ctx, cred.UserID, cred.PasswordHash, hash)
}

func (s *Service) open(ctx context.Context, userID uuid.UUID) (TokenPair, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return TokenPair{}, fmt.Errorf("make a session id: %w", err)
	}
	now := s.now()
	session := Session{ID: id, UserID: userID, CreatedAt: now, TurnedAt: now}
	session.ExpiresAt = s.expiry(session)
	identity, err := s.store.OpenSession(ctx, session)
	if is(err, NotFound) { // disabled or erased since the password was read
		return TokenPair{}, errCredentials()
	}
	if err != nil {
		return TokenPair{}, err
	}
	return s.pair(identity, session.Counter)
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
		return TokenPair{}, errRefreshToken(err)
	}
	var living uint64
	identity, err := s.store.TurnSession(ctx, named.SessionID, func(session Session) (Turn, error) {
		turn := s.turn(session, named.Counter)
		if turn.Session != nil {
			session = *turn.Session
		}
		living = session.Counter
		return turn, nil
	})
	if is(err, NotFound) {
		return TokenPair{}, errRefreshToken(err)
	}
	if err != nil {
		return TokenPair{}, err
	}
	return s.pair(identity, living)
}

// turn decides what the shown refresh token, the counter-th, does to its session.
func (s *Service) turn(session Session, counter uint64) Turn {
	now := s.now()
	switch {
	case counter == session.Counter:
		session.Counter++
		session.TurnedAt = now
		session.ExpiresAt = s.expiry(session)
		return Turn{Session: &session}
	case counter+1 == session.Counter && now.Sub(session.TurnedAt) <= refreshGrace:
		return Turn{}
	default:
		return Turn{End: true}
	}
}

// expiry is when a session ends unless it is turned again.
func (s *Service) expiry(session Session) time.Time {
	idle, absolute := session.TurnedAt.Add(s.cfg.RefreshIdleTTL), session.CreatedAt.Add(s.cfg.RefreshTTL)
	if idle.Before(absolute) {
		return idle
	}
	return absolute
}

func (s *Service) pair(id Identity, counter uint64) (TokenPair, error) {
	permissions := make([]string, len(id.Permissions))
	for i, p := range id.Permissions {
		permissions[i] = string(p)
	}
	accessToken, err := s.tokens.IssueAccess(token.Access{
		UserID: id.UserID, SessionID: id.SessionID, Roles: id.Roles, Permissions: permissions,
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

// Logout ends the session that by came with. Errors: Unavailable.
func (s *Service) Logout(ctx context.Context, by Identity) error {
	return s.store.EndSession(ctx, by.SessionID)
}

// Authenticate returns whose an access token is. An ended session, a disabled or erased
// user and changed roles are seen at once, at the cost of the one query that reads
// the caller's account.
//
// Errors: InvalidAccessToken, Unavailable.
func (s *Service) Authenticate(ctx context.Context, accessToken string) (Identity, error) {
	claims, err := s.tokens.VerifyAccess(accessToken)
	if err != nil {
		return Identity{}, errAccessToken(err)
	}
	identity, err := s.store.Identify(ctx, claims.UserID, claims.SessionID)
	if is(err, NotFound) {
		return Identity{}, errAccessToken(err)
	}
	return identity, err
}

// PublicKeys returns the keys that verify access tokens elsewhere, as a JWK set.
func (s *Service) PublicKeys() []byte { return s.tokens.JWKS() }

// reauthenticate checks the current password where by changes its own email. It
// returns false where that is not so, as far as can be seen before the account is locked.
func (s *Service) reauthenticate(ctx context.Context, by Identity, id uuid.UUID, edit Edit) (bool, error) {
	u := by.User
	if !by.Is(id) || edit.apply(&u) != nil || u.Email == by.User.Email {
		return false, nil
	}
	if edit.currentPassword() == "" {
		return false, errReauthenticate()
	}
	cred, err := s.store.CredentialOf(ctx, id)
	if err != nil {
		return false, err
	}
	ok, _, err := s.verify(ctx, edit.currentPassword(), cred, true)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, errReauthenticate()
	}
	return true, nil
}

func is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
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

func errReauthenticate() error {
	return &Error{Code: ReauthenticationRequired, Detail: "Changing your own email needs your password, as current_password."}
}
