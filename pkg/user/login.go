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

// refusalTime is the least time that a refusal before the hash takes. The queries for an account take some hundredths of a
// millisecond more than those for an unknown email, which are 3 % of what they take.
const refusalTime = 20 * time.Millisecond

// countTime is the least time to count an attempt in, after a hash has used up the time of its request.
const countTime = 150 * time.Millisecond

// LoginDecision is what becomes of an attempt at a password. The zero Verdict changes nothing.
type LoginDecision struct {
	Failure    *LoginFailures // the counts after one more failure
	Success    bool           // the count of this network ends; with a Session, the network becomes a known one
	Session    *Session       // to be opened
	PasswordAt time.Time      // … if the password has not been changed since
	Event      event.Event    // about the user
	LockedOut  event.Event    // about the user, unless there was one within LockedOutInterval
	Audit      []Audit
}

// Login opens a session. An unknown email, a wrong password and a disabled account
// give the very same answer after the same work. During the backoff after too many failures nothing is hashed, and
// the right password is refused too.
//
// Errors: Invalid, InvalidCredentials, TooManyRequests, Overloaded, Unavailable.
func (s *Service) Login(ctx context.Context, l Login) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	login := Attempt{Email: l.Email, Network: NetworkOf(OriginOf(ctx).IP)}
	shown, result, err := s.verifyPassword(ctx, login, LoginFailed, l.Password, func(ctx context.Context) (Credential, error) {
		return s.credential(ctx, l.Email)
	})
	if err != nil {
		return TokenPair{}, err
	}
	if shown.ok = result.OK && shown.cred.Status == Active; shown.ok {
		if shown.session, err = s.newSession(ctx, shown.cred.UserID); err != nil {
			return TokenPair{}, err
		}
	}
	identity, err := s.recordAttempt(ctx, login, shown)
	if isNotFound(err) { // disabled, erased, or with a new password since the old one was read: a failure as any other
		shown.ok = false
		_, err = s.recordAttempt(ctx, login, shown)
	}
	switch {
	case err != nil:
		return TokenPair{}, err
	case !shown.ok:
		return TokenPair{}, errCredentials()
	}
	if result.Rehash { // only now: an attempt that is refused must not take longer with the right password
		s.upgrade(ctx, shown.cred, l.Password)
	}
	return s.issueTokens(identity, shown.session.Counter)
}

// passwordCheck is an attempt to show a password.
type passwordCheck struct {
	cred    Credential // zero where there is no account
	ok      bool       // whether the password was the right one of an account that may be used
	failed  Action     // what the audit trail calls it if not
	session *Session   // to be opened if the attempt is let through
}

// verifyPassword checks a password against the credential that read returns, unless there is a backoff. The work is the same for
// a credential of nobody. An attempt counts as a failure if its hash does not end in time, or if the client hangs up.
// Otherwise a client could request expensive hashes without end. One that the hash queue or its process refused does not count.
//
// Errors: TooManyRequests, Overloaded, those of read.
func (s *Service) verifyPassword(ctx context.Context, a Attempt, failed Action, pw string, read func(context.Context) (Credential, error)) (passwordCheck, password.Result, error) {
	shown := passwordCheck{failed: failed}
	if err := s.checkBackoff(ctx, a, failed); err != nil {
		return shown, password.Result{}, err
	}
	var readErr error
	begun := false
	result, err := s.hasher.Verify(ctx, flow(ctx, a.class()), pw, func(ctx context.Context) (password.Stored, error) {
		shown.cred, readErr = read(ctx)
		begun = true
		return password.Stored{Hash: shown.cred.PasswordHash, Imported: shown.cred.Imported, Number: shown.cred.number}, readErr
	})
	switch {
	case readErr != nil:
		return shown, password.Result{}, readErr
	case errors.Is(err, password.ErrUnknownFormat): // nobody can log in with it
		s.cfg.Log.WarnContext(ctx, "a stored password hash is not taken", "error", err)
		return shown, password.Result{}, nil
	case err != nil && begun && !errors.Is(err, password.ErrBusy):
		if _, failure := s.recordAttempt(ctx, a, shown); failure != nil {
			s.cfg.Log.DebugContext(ctx, "an attempt whose hash did not end in time is not counted", "error", failure)
		}
	}
	if err != nil {
		return shown, password.Result{}, hashError(err)
	}
	return shown, result, nil
}

// checkBackoff refuses an attempt during the backoff, before anything is hashed for it.
func (s *Service) checkBackoff(ctx context.Context, a Attempt, failed Action) error {
	if s.cfg.MaxFailures == 0 {
		return nil
	}
	answer := time.NewTimer(refusalTime)
	defer answer.Stop()
	guesses, err := s.store.LoginFailures(ctx, a)
	if err != nil {
		return err
	}
	blocked := s.backoffError(guesses)
	if blocked == nil {
		return nil
	}
	blocked = s.recordRefusal(ctx, Audit{Action: failed, UserID: guesses.UserID}, blocked)
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
	return blocked
}

// recordAttempt judges an attempt whose hash was computed, and counts it, whether or not anybody still waits for the answer. During
// a backoff that has begun meanwhile it is refused, right or wrong.
func (s *Service) recordAttempt(ctx context.Context, a Attempt, shown passwordCheck) (Identity, error) {
	ctx, cancel := withTimeToCount(ctx)
	defer cancel()
	var blocked error
	var locked bool
	identity, err := s.store.RecordAttempt(ctx, a, func(g LoginFailures) (v LoginDecision, err error) {
		blocked, locked = s.backoffError(g), false
		switch {
		case blocked != nil: // attempts during the backoff don't make it longer
			return LoginDecision{Audit: []Audit{{Action: shown.failed, UserID: shown.cred.UserID}}}, nil
		case !shown.ok:
			v, locked, err = s.failure(g, shown)
			return v, err
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

// withTimeToCount returns a context that does not end when the client hangs up, and lasts for countTime at least.
func withTimeToCount(ctx context.Context) (context.Context, context.CancelFunc) {
	patient := context.WithoutCancel(ctx)
	end, ok := ctx.Deadline()
	if !ok {
		return patient, func() {}
	}
	if least := time.Now().Add(countTime); end.Before(least) {
		end = least
	}
	return context.WithDeadline(patient, end)
}

// failure counts an attempt. locked reports whether a backoff begins.
func (s *Service) failure(g LoginFailures, p passwordCheck) (v LoginDecision, locked bool, err error) {
	counts, until := s.countFailure(g)
	userID, action := p.cred.UserID, p.failed
	if locked = !until.IsZero(); locked {
		action = LoginBlocked
		v.LockedOut, err = event.New(event.LockedOut, userID, 0, g.Now, event.LockOut{ID: userID, Until: until.UTC()})
	}
	v.Failure, v.Audit = &counts, []Audit{{Action: action, UserID: userID}}
	return v, locked, err
}

// success ends the count. Without a session it is a password entered by who is logged in.
func (p passwordCheck) success(g LoginFailures) (LoginDecision, error) {
	if p.session == nil {
		return LoginDecision{Success: true}, nil
	}
	userID := p.cred.UserID
	e, err := event.New(event.LoggedIn, userID, 0, g.Now, event.Session{ID: userID, SessionID: p.session.ID})
	return LoginDecision{
		Success: true, Session: p.session, PasswordAt: p.cred.ChangedAt, Event: e,
		Audit: []Audit{{Action: LoginSucceeded, UserID: userID, Actor: userID, Detail: Detail{SessionID: p.session.ID}}},
	}, err
}

// upgrade stores the password's hash by today's parameters. If that does not work now, the
// next login does it.
func (s *Service) upgrade(ctx context.Context, cred Credential, pw string) {
	if hash, err := s.hasher.Hash(ctx, second(flow(ctx, password.Login)), pw); err == nil {
		_ = s.store.UpgradeHash(ctx, cred.UserID, cred.PasswordHash, hash)
	}
}

func (s *Service) newSession(ctx context.Context, userID uuid.UUID) (*Session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a session id: %w", err)
	}
	now, from := s.now(), OriginOf(ctx)
	session := &Session{ID: id, UserID: userID, CreatedAt: now, RotatedAt: now, UserAgent: from.UserAgent, IP: from.IP}
	session.ExpiresAt = s.expiry(*session)
	return session, nil
}
