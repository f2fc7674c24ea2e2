package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/password"
)

// The wait after too many failures in a row: the first one, which doubles with each further
// failure, and the longest one. So nobody is locked out for ever, and who guesses has about a hundred
// tries a day (OWASP Authentication Cheat Sheet, account lockout).
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// ForgetFailures is how long after the last failure a row of failures is forgotten.
const ForgetFailures = 24 * time.Hour

// Guesses is what is known of failed logins with one email, whether or not it has an account.
type Guesses struct {
	InARow       int
	BlockedUntil time.Time
	Now          time.Time // by the clock that all replicas share
}

// Verdict is what is to become of an attempt to show a password.
type Verdict struct {
	Guesses    Guesses   // to be kept; without a failure in it they are forgotten
	Session    *Session  // to be opened
	PasswordAt time.Time // … if the password has not been changed since
	Event      event.Event
	Audit      []Audit
}

// Login opens a session. An unknown email, a wrong password and a disabled account
// give the very same answer after the same work. While an email has to wait after too
// many failures, the right password is refused too.
//
// Errors: Invalid, InvalidCredentials, TooManyRequests, Overloaded, Unavailable.
func (s *Service) Login(ctx context.Context, l Login) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	cred, result, err := s.verify(ctx, password.Login, l.Password, func(ctx context.Context) (Credential, error) {
		return s.credential(ctx, l.Email)
	})
	if err != nil {
		return TokenPair{}, err
	}
	shown := proof{cred: cred, ok: result.OK && cred.Status == Active, failed: LoginFailed}
	if shown.ok {
		if shown.session, err = s.newSession(ctx, cred.UserID); err != nil {
			return TokenPair{}, err
		}
	}
	identity, err := s.attempt(ctx, l.Email, shown)
	if isNotFound(err) { // disabled, erased, or with a new password since the old one was read: a failure as any other
		shown.ok = false
		_, err = s.attempt(ctx, l.Email, shown)
	}
	switch {
	case err != nil:
		return TokenPair{}, err
	case !shown.ok:
		return TokenPair{}, errCredentials()
	}
	if result.Rehash { // only now: an attempt that is refused must not take longer with the right password
		s.upgrade(ctx, cred, l.Password)
	}
	return s.pair(identity, shown.session.Counter)
}

// verify checks a password against the credential that read returns; the work is the same for one of nobody. Errors: Overloaded, those of read.
func (s *Service) verify(ctx context.Context, class password.Class, pw string, read func(context.Context) (Credential, error)) (Credential, password.Result, error) {
	var cred Credential
	var failed error
	result, err := s.hasher.Verify(ctx, class, pw, func(ctx context.Context) (password.Stored, error) {
		cred, failed = read(ctx)
		return password.Stored{Hash: cred.PasswordHash, Imported: cred.Imported, Number: cred.number}, failed
	})
	switch {
	case failed != nil:
		return Credential{}, password.Result{}, failed
	case errors.Is(err, password.ErrUnknownFormat): // nobody can log in with it
		s.cfg.Log.WarnContext(ctx, "a stored password hash is not taken", "error", err)
		return cred, password.Result{}, nil
	case err != nil:
		return Credential{}, password.Result{}, hashing(err)
	}
	return cred, result, nil
}

// proof is an attempt to show a password.
type proof struct {
	cred    Credential // zero where there is no account
	ok      bool       // whether the password was the right one of an account that may be used
	failed  Action     // what the audit trail calls it if not
	session *Session   // to be opened if the attempt is let through
}

// attempt notes how an attempt to show the password of email ended. It is refused, right or
// wrong, while there is a wait.
func (s *Service) attempt(ctx context.Context, email string, shown proof) (Identity, error) {
	var blocked error
	var locked bool
	identity, err := s.store.Attempt(ctx, email, func(g Guesses) (Verdict, error) {
		blocked, locked = s.blocked(g), false
		switch {
		case blocked != nil:
			return shown.refused(g)
		case !shown.ok:
			locked = s.wait(g.InARow+1) > 0
			return s.failure(g, shown)
		default:
			return shown.success(g)
		}
	})
	if err == nil && locked {
		s.cfg.Observer.LockedOut()
	}
	if err == nil {
		err = blocked
	}
	return identity, err
}

// refused keeps the failures as they are: tries during a wait don't make it longer.
func (p proof) refused(g Guesses) (Verdict, error) {
	e, err := event.New(event.LockedOut, uuid.Nil, 0, g.Now, nil) // about nobody: it is not stored, at the same cost
	return Verdict{Guesses: g, Event: e, Audit: []Audit{{Action: p.failed, UserID: p.cred.UserID}}}, err
}

func (s *Service) failure(g Guesses, p proof) (Verdict, error) {
	g.InARow++
	userID, action, subject := p.cred.UserID, p.failed, uuid.Nil
	if wait := s.wait(g.InARow); wait > 0 {
		g.BlockedUntil = g.Now.Add(wait)
		action, subject = LoginBlocked, userID
	}
	e, err := event.New(event.LockedOut, subject, 0, g.Now, event.LockOut{ID: userID, Until: g.BlockedUntil.UTC()})
	return Verdict{Guesses: g, Event: e, Audit: []Audit{{Action: action, UserID: userID}}}, err
}

// success forgets the failures. Without a session it is a password shown by who is logged in.
func (p proof) success(g Guesses) (Verdict, error) {
	if p.session == nil {
		return Verdict{}, nil
	}
	userID := p.cred.UserID
	e, err := event.New(event.LoggedIn, userID, 0, g.Now, event.Session{ID: userID, SessionID: p.session.ID})
	return Verdict{
		Session: p.session, PasswordAt: p.cred.ChangedAt, Event: e,
		Audit: []Audit{{Action: LoginSucceeded, UserID: userID, Actor: userID}},
	}, err
}

// wait returns how long logins have to wait after so many failures in a row.
func (s *Service) wait(failures int) time.Duration {
	over := failures - s.cfg.MaxFailures
	if s.cfg.MaxFailures == 0 || over < 0 {
		return 0
	}
	return min(firstWait<<min(over, 10), longestWait)
}

// blocked refuses what is tried during a wait.
func (s *Service) blocked(g Guesses) error {
	if s.cfg.MaxFailures == 0 || !g.BlockedUntil.After(g.Now) {
		return nil
	}
	return &Error{
		Code: TooManyRequests, Detail: "Too many failed attempts in a row; wait, then try again.",
		RetryAfter: g.BlockedUntil.Sub(g.Now),
		Limit:      &Limit{Policy: "login", Quota: s.cfg.MaxFailures, Window: s.wait(g.InARow)},
	}
}

// upgrade stores the password's hash by today's parameters. If that does not work now, the
// next login does it.
func (s *Service) upgrade(ctx context.Context, cred Credential, pw string) {
	if hash, err := s.hasher.Hash(ctx, password.Login, pw); err == nil {
		_ = s.store.UpgradeHash(ctx, cred.UserID, cred.PasswordHash, hash)
	}
}

func (s *Service) newSession(ctx context.Context, userID uuid.UUID) (*Session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a session id: %w", err)
	}
	now, from := s.now(), OriginOf(ctx)
	session := &Session{ID: id, UserID: userID, CreatedAt: now, TurnedAt: now, UserAgent: from.UserAgent, IP: from.IP}
	session.ExpiresAt = s.expiry(*session)
	return session, nil
}
