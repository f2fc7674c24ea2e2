package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/password"
)

// NewPassword is a change of one's own password.
type NewPassword struct {
	Current string
	New     string
}

// CheckNewPassword validates a change of the caller's own password. It does not verify the current password.
func (s *Service) CheckNewPassword(by Identity, p NewPassword) FieldErrors {
	var errs FieldErrors
	if p.Current == "" {
		errs.Add("/current_password", Required, "is required")
	}
	checkPasswordLength("/current_password", p.Current, &errs)
	if p.New == "" {
		errs.Add("/new_password", Required, "is required")
	}
	s.checkPassword("/new_password", p.New, by.User, &errs)
	return errs
}

// ChangePassword replaces the caller's own password. It ends all sessions, including the calling one (OWASP ASVS 5.0.0, 7.2.4), and opens
// a new one. The new session has the authentication methods and the time of the login of the calling one.
//
// Errors: the errors of a grant, Invalid, ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ChangePassword(ctx context.Context, by Identity, grant access.Grant, p NewPassword) (TokenPair, error) {
	if err := s.CheckNewPassword(by, p).Err(); err != nil {
		return TokenPair{}, err
	}
	verified, done, err := s.reauthenticate(ctx, by, p.Current, PasswordChangeFailed)
	if err != nil {
		return TokenPair{}, err
	}
	defer done()
	uncanceled, cancel := withoutCancel(ctx)
	defer cancel()
	hash, err := s.hashNew(uncanceled, second(flow(ctx, password.Reauthentication)), "/new_password", p.New)
	if err != nil {
		return TokenPair{}, err
	}
	session, err := s.newSession(ctx, by.UserID, by.AMR)
	if err != nil {
		return TokenPair{}, err
	}
	session.AuthTime = by.AuthTime // a new password does not renew a login with a passkey
	opening := NewSession{Session: *session}
	_, err = s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		return s.decidePassword(ctx, tx, u, verified, hash, &opening)
	})
	if err != nil {
		return TokenPair{}, err
	}
	return s.issueTokens(opening.Identity, session.Counter)
}

func (s *Service) decidePassword(
	ctx context.Context, tx Tx, u User, verified passwordTime, hash string, opening *NewSession,
) (Change, error) {
	if err := verified.check(ctx, tx, u.ID); err != nil {
		return Change{}, err
	}
	change, err := s.passwordChange(u, hash)
	change.NewSession = opening
	change.Audit = []Audit{{Action: PasswordChanged, Detail: Detail{SessionID: opening.Session.ID}}}
	return change, err
}

// checkPassword validates a new password of u. It accepts an empty password: the caller checks for this case.
func (s *Service) checkPassword(pointer, pw string, u User, errs *FieldErrors) {
	if pw == "" {
		return
	}
	if err := s.cfg.Passwords.Check(pw, u.Email, u.Name); err != nil {
		errs.addPassword(pointer, err)
	}
}

// hashNew hashes a new password. It refuses a password that is known from a data breach (NIST SP 800-63B-4 section 3.1.1.2). It looks the
// password up before it waits for a slot, because the lookup may take a second. pointer is the member of the request that contains the
// password.
//
// Errors: Invalid, Overloaded, Unavailable.
func (s *Service) hashNew(ctx context.Context, flow password.Flow, pointer, pw string) (string, error) {
	if s.cfg.Breaches != nil && s.cfg.Breaches.Contains(ctx, pw) {
		var errs FieldErrors
		errs.Add(pointer, Breached, "is known from a data breach, and attackers try such passwords first; choose another")
		return "", errs.Err()
	}
	hash, err := s.hasher.Hash(ctx, flow, pw)
	if err != nil {
		return "", hashError(err)
	}
	return hash, nil
}

// passwordChange returns the Change that sets a new password. It ends all sessions, and invalidates the tokens of resets and invitations.
func (s *Service) passwordChange(u User, hash string) (Change, error) {
	changed, err := event.New(event.PasswordChanged, u.ID, u.Version, s.now(), event.Subject{ID: u.ID})
	return Change{
		PasswordHash: hash, EndSessions: true, InvalidateTokens: true,
		Events: []event.Event{changed}, Audit: []Audit{{Action: PasswordChanged}},
	}, err
}

// passwordTime is the time at which the verified password was last changed. It is zero if no password was verified.
type passwordTime time.Time

// check refuses a change if the verified password is not the current one of the locked account. Errors: ReauthenticationRequired.
func (p passwordTime) check(ctx context.Context, tx Tx, id uuid.UUID) error {
	at, err := tx.PasswordAt(ctx, id)
	if err != nil || at.Equal(time.Time(p)) {
		return err
	}
	return errReauthenticate()
}

// reauthenticate verifies the password of an authenticated caller. Failures lead to the same backoff as login failures, so that a stolen
// token does not help to guess the password. Reauthentications have their own counter, so that failed logins do not prevent a user from
// changing the password.
//
// The holder of one token can't occupy all hash slots. No hash is computed during a backoff. In addition, other reauthentications of the
// same user wait in this replica until done is called.
//
// Errors: ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) reauthenticate(
	ctx context.Context, by Identity, pw string, failed Action,
) (verified passwordTime, done func(), err error) {
	if pw == "" {
		return verified, nil, errReauthenticate()
	}
	if done, err = s.reauthentications.Enter(ctx, by.UserID); err != nil {
		return verified, nil, err
	}
	ok := false
	defer func() {
		if !ok { // also after a panic
			done()
		}
	}()
	uncanceled, cancel := withoutCancel(ctx)
	defer cancel()
	verified, err = s.verifyCurrentPassword(uncanceled, by, pw, failed)
	ok = err == nil
	return verified, done, err
}

// withoutCancel returns a context with the deadline of ctx that does not end when ctx is canceled. So a hash continues after its client
// has disconnected. Otherwise the client could start one hash after another without waiting.
func withoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	uncanceled := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(uncanceled, deadline)
	}
	return uncanceled, func() {}
}

// verifyCurrentPassword verifies the caller's password and records the attempt.
func (s *Service) verifyCurrentPassword(ctx context.Context, by Identity, pw string, failed Action) (passwordTime, error) {
	var none passwordTime
	again := Attempt{UserID: by.UserID}
	// The query runs before the request gets a slot, because a slot that waits for a query delays logins.
	cred, err := s.store.CredentialOf(ctx, by.UserID)
	if isNotFound(err) { // the user was erased since the request arrived
		err = ErrSessionEnded()
	}
	if err != nil {
		return none, err
	}
	check, result, err := s.verifyPassword(ctx, again, failed, pw, func(context.Context) (Credential, error) { return cred, nil })
	if err != nil {
		return none, err
	}
	check.ok = result.OK
	if _, err := s.recordAttempt(ctx, again, check); err != nil {
		return none, err
	}
	if !check.ok {
		return none, errReauthenticate()
	}
	return passwordTime(check.cred.ChangedAt), nil
}

// reauthenticateForEmail verifies the password if callers change their own email. It compares with the account as it was read before the
// lock; decideUpdate compares again under the lock.
func (s *Service) reauthenticateForEmail(ctx context.Context, by Identity, grant access.Grant, edit Edit) (passwordTime, func(), error) {
	u := by.User
	if !grant.Self() || edit.apply(&u) != nil || u.Email == by.User.Email {
		return passwordTime{}, func() {}, nil
	}
	return s.reauthenticate(ctx, by, edit.currentPassword(), LoginFailed)
}
