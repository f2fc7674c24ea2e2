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

// CheckNewPassword returns what is wrong with a change of the caller's own password, apart from
// the current one.
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

// ChangePassword replaces the caller's own password. It ends all sessions, the calling one
// too, and opens a new one (OWASP ASVS 5.0.0, 7.2.4): a copy of the old tokens is worth nothing.
//
// Errors: those of a grant, Invalid, ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ChangePassword(ctx context.Context, by Identity, grant access.Grant, p NewPassword) (TokenPair, error) {
	if err := s.CheckNewPassword(by, p).Err(); err != nil {
		return TokenPair{}, err
	}
	shown, done, err := s.reauthenticate(ctx, by, p.Current, PasswordChangeFailed)
	if err != nil {
		return TokenPair{}, err
	}
	defer done()
	patient, cancel := withoutCancel(ctx)
	defer cancel()
	hash, err := s.hasher.Hash(patient, second(flow(ctx, password.Reauthentication)), p.New)
	if err != nil {
		return TokenPair{}, hashError(err)
	}
	session, err := s.newSession(ctx, by.UserID)
	if err != nil {
		return TokenPair{}, err
	}
	opening := NewSession{Session: *session}
	_, err = s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		if err := shown.check(ctx, tx, u.ID); err != nil {
			return Change{}, err
		}
		change, err := s.passwordChange(u, hash)
		change.NewSession = &opening
		change.Audit = []Audit{{Action: PasswordChanged, Detail: Detail{SessionID: session.ID}}}
		return change, err
	})
	if err != nil {
		return TokenPair{}, err
	}
	return s.issueTokens(opening.Identity, session.Counter)
}

// checkPassword adds what is wrong with a new password of u, if there is one.
func (s *Service) checkPassword(pointer, pw string, u User, errs *FieldErrors) {
	if pw == "" {
		return
	}
	if err := s.cfg.Passwords.Check(pw, u.Email, u.Name); err != nil {
		errs.addPassword(pointer, err)
	}
}

// passwordChange is the Change to a new password: whoever came in by the old one is out.
func (s *Service) passwordChange(u User, hash string) (Change, error) {
	changed, err := event.New(event.PasswordChanged, u.ID, u.Version, s.now(), event.Subject{ID: u.ID})
	return Change{
		PasswordHash: hash, EndSessions: true, InvalidateTokens: true,
		Events: []event.Event{changed}, Audit: []Audit{{Action: PasswordChanged}},
	}, err
}

// passwordTime is when the password that was shown right had been changed last; zero if none was shown.
type passwordTime time.Time

// check refuses a change if the password that was shown is not, or no longer, that of the locked account.
func (p passwordTime) check(ctx context.Context, tx Tx, id uuid.UUID) error {
	at, err := tx.PasswordAt(ctx, id)
	if err != nil || at.Equal(time.Time(p)) {
		return err
	}
	return errReauthenticate()
}

// reauthenticate checks the password of who is logged in. Failures have a backoff as those of logins have, so that a stolen
// token is not a way to guess the password. They are counted for the user alone: those of logins don't count, so that
// strangers can't keep a user from changing the password.
//
// Nor is a token a way to keep others from logging in, by having passwords hashed: nothing is hashed during the backoff,
// and until done is called other requests with the password of the same user wait in this replica.
//
// Errors: ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) reauthenticate(ctx context.Context, by Identity, pw string, failed Action) (shown passwordTime, done func(), err error) {
	if pw == "" {
		return shown, nil, errReauthenticate()
	}
	if done, err = s.reauthentications.Enter(ctx, by.UserID); err != nil {
		return shown, nil, err
	}
	ok := false
	defer func() {
		if !ok { // after a panic too
			done()
		}
	}()
	patient, cancel := withoutCancel(ctx)
	defer cancel()
	shown, err = s.verifyCurrentPassword(patient, by, pw, failed)
	ok = err == nil
	return shown, done, err
}

// withoutCancel returns ctx without its end but that of its time. A hash goes on when nobody waits for it any more: who hangs up
// must not be able to have another one computed meanwhile.
func withoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	patient := context.WithoutCancel(ctx)
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(patient, end)
	}
	return patient, func() {}
}

// verifyCurrentPassword checks the password of who is logged in.
func (s *Service) verifyCurrentPassword(ctx context.Context, by Identity, pw string, failed Action) (passwordTime, error) {
	var none passwordTime
	again := Attempt{UserID: by.UserID}
	cred, err := s.store.CredentialOf(ctx, by.UserID) // not while a slot is held, which logins may wait for
	if isNotFound(err) {                              // erased since the request came, and its session with it
		err = ErrSessionEnded()
	}
	if err != nil {
		return none, err
	}
	shown, result, err := s.verifyPassword(ctx, again, failed, pw, func(context.Context) (Credential, error) { return cred, nil })
	if err != nil {
		return none, err
	}
	shown.ok = result.OK
	if _, err := s.recordAttempt(ctx, again, shown); err != nil {
		return none, err
	}
	if !shown.ok {
		return none, errReauthenticate()
	}
	return passwordTime(shown.cred.ChangedAt), nil
}

// reauthenticateForEmail asks for the password where by changes its own email, as far as
// can be seen before the account is locked.
func (s *Service) reauthenticateForEmail(ctx context.Context, by Identity, grant access.Grant, edit Edit) (passwordTime, func(), error) {
	u := by.User
	if !grant.Self() || edit.apply(&u) != nil || u.Email == by.User.Email {
		return passwordTime{}, func() {}, nil
	}
	return s.reauthenticate(ctx, by, edit.currentPassword(), LoginFailed)
}
