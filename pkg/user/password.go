package user

import (
	"context"
	"time"

	"github.com/google/uuid"

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
		errs.Add("/current_password", "is required")
	}
	checkPasswordLength("/current_password", p.Current, &errs)
	if p.New == "" {
		errs.Add("/new_password", "is required")
	}
	s.checkPassword("/new_password", p.New, by.User, &errs)
	return errs
}

// ChangePassword replaces the caller's own password and ends its other sessions.
//
// Errors: Invalid, ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ChangePassword(ctx context.Context, by Identity, p NewPassword) error {
	if err := s.CheckNewPassword(by, p).Err(); err != nil {
		return err
	}
	shown, done, err := s.reauthenticate(ctx, by, p.Current, PasswordChangeFailed)
	if err != nil {
		return err
	}
	defer done()
	patient, cancel := despiteHangUp(ctx)
	defer cancel()
	hash, err := s.hasher.Hash(patient, password.Reauthentication, p.New)
	if err != nil {
		return hashing(err)
	}
	_, err = s.store.Change(ctx, by.UserID, func(ctx context.Context, tx Tx, u User) (Change, error) {
		if err := shown.check(ctx, tx, u.ID); err != nil {
			return Change{}, err
		}
		change, err := s.passwordChange(u, hash)
		change.KeepSession = by.SessionID
		return change, err
	})
	return err
}

// checkPassword adds what is wrong with a new password of u, if there is one.
func (s *Service) checkPassword(pointer, pw string, u User, errs *FieldErrors) {
	if pw == "" {
		return
	}
	if err := s.cfg.Passwords.Check(pw, u.Email, u.Name); err != nil {
		errs.Add(pointer, err.Error())
	}
}

// passwordChange is the Change to a new password: whoever came in by the old one is out.
func (s *Service) passwordChange(u User, hash string) (Change, error) {
	changed, err := event.New(event.PasswordChanged, u.ID, u.Version, s.now(), event.Subject{ID: u.ID})
	return Change{
		PasswordHash: hash, EndSessions: true, VoidTokens: true, Forgive: true,
		Events: []event.Event{changed}, Audit: []Action{PasswordChanged},
	}, err
}

// passwordShown is when the password that was shown right had been changed last; zero if none was shown.
type passwordShown time.Time

// check refuses a change if the password that was shown is not, or no longer, that of the locked account.
func (p passwordShown) check(ctx context.Context, tx Tx, id uuid.UUID) error {
	at, err := tx.PasswordAt(ctx, id)
	if err != nil || at.Equal(time.Time(p)) {
		return err
	}
	return errReauthenticate()
}

// reauthenticate checks the password of who is logged in. Failures count as those of
// logins do, so that a stolen token is no way to guess the password.
//
// Nor is a token a way to keep others from logging in, by having passwords hashed: nothing is hashed during a wait,
// and until done is called nobody else shows the password of the same user to this replica.
//
// Errors: ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) reauthenticate(ctx context.Context, by Identity, pw string, failed Action) (shown passwordShown, done func(), err error) {
	if pw == "" {
		return shown, nil, errReauthenticate()
	}
	if _, busy := s.showing.LoadOrStore(by.UserID, true); busy {
		return shown, nil, &Error{
			Code: Overloaded, Detail: "Another change that needs your password is being made at this moment; try again shortly.",
			RetryAfter: time.Second,
		}
	}
	done = func() { s.showing.Delete(by.UserID) }
	ok := false
	defer func() {
		if !ok { // after a panic too
			done()
		}
	}()
	patient, cancel := despiteHangUp(ctx)
	defer cancel()
	shown, err = s.show(patient, by, pw, failed)
	ok = err == nil
	return shown, done, err
}

// despiteHangUp returns ctx without its end but that of its time. A hash goes on when nobody waits for it any more: who hangs up
// must not be able to have another one computed meanwhile.
func despiteHangUp(ctx context.Context) (context.Context, context.CancelFunc) {
	patient := context.WithoutCancel(ctx)
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(patient, end)
	}
	return patient, func() {}
}

// show checks the password of who is logged in, unless there is a wait: that such an account exists is no secret to
// its user, so that no hash has to hide it.
func (s *Service) show(ctx context.Context, by Identity, pw string, failed Action) (passwordShown, error) {
	var none passwordShown
	guesses, err := s.store.Guesses(ctx, by.User.Email)
	if err != nil {
		return none, err
	}
	if blocked := s.blocked(guesses); blocked != nil {
		return none, s.refuse(ctx, Audit{Action: failed, UserID: by.UserID}, blocked)
	}
	cred, result, err := s.verify(ctx, password.Reauthentication, pw, func(ctx context.Context) (Credential, error) {
		return s.store.CredentialOf(ctx, by.UserID)
	})
	if err != nil {
		return none, err
	}
	if _, err := s.attempt(ctx, cred.Email, proof{cred: cred, ok: result.OK, failed: failed}); err != nil {
		return none, err
	}
	if !result.OK {
		return none, errReauthenticate()
	}
	return passwordShown(cred.ChangedAt), nil
}

// reauthenticateForEmail asks for the password where by changes its own email, as far as
// can be seen before the account is locked.
func (s *Service) reauthenticateForEmail(ctx context.Context, by Identity, id uuid.UUID, edit Edit) (passwordShown, func(), error) {
	u := by.User
	if !by.Is(id) || edit.apply(&u) != nil || u.Email == by.User.Email {
		return passwordShown{}, func() {}, nil
	}
	return s.reauthenticate(ctx, by, edit.currentPassword(), LoginFailed)
}
