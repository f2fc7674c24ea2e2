package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/password"
)

// CheckEmail returns what is wrong with the form of an email.
func CheckEmail(email string) FieldErrors {
	var errs FieldErrors
	checkEmail(email, &errs)
	return errs
}

// RequestReset sends a token for a new password to the mailbox of an active account, if there
// is one with this email. The answer and its time are the same if there is none: the token is made after it.
//
// Errors: Invalid, Overloaded, Unavailable.
func (s *Service) RequestReset(ctx context.Context, email string) error {
	if err := CheckEmail(email).Err(); err != nil {
		return err
	}
	answer := time.NewTimer(resetTime)
	defer answer.Stop()
	id, err := s.resets.find(ctx, email, func(ctx context.Context) (uuid.UUID, error) { return s.store.ActiveUserID(ctx, email) })
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
	if err == nil && id != uuid.Nil {
		s.sendResetLater(ctx, id)
	}
	return err
}

// sendResetLater sends a reset after the answer. Nobody is told of a failure but the log and the metrics: the answer
// may not depend on whether there is an account.
func (s *Service) sendResetLater(ctx context.Context, id uuid.UUID) {
	send := func(ctx context.Context) error { return s.SendReset(ctx, access.Internal(id)) }
	s.resets.enqueue(ctx, id, send, func(err error) {
		if !isNotFound(err) { // erased meanwhile
			s.cfg.Observer.ResetDropped()
			s.cfg.Log.WarnContext(ctx, "a requested reset is not sent", "error", err)
		}
	})
}

// Finish waits for the work that goes on after an answer. Error: that of ctx.
func (s *Service) Finish(ctx context.Context) error { return s.resets.finish(ctx) }

// SendReset sends a token for a new password to the mailbox of a user. Errors: those of a grant, NotFound, Unavailable.
func (s *Service) SendReset(ctx context.Context, grant access.Grant) error {
	_, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		return s.issue(ctx, tx, u, PasswordReset, resetTTL, event.PasswordResetRequested)
	})
	return err
}

// Reset is a new password with the token that allows it.
type Reset struct {
	Token       string
	NewPassword string
}

// CheckReset returns what is wrong with a reset, as far as can be seen without the account.
func (s *Service) CheckReset(r Reset) FieldErrors {
	var errs FieldErrors
	checkToken(r.Token, &errs)
	if r.NewPassword == "" {
		errs.Add("/new_password", Required, "is required")
	}
	s.checkPassword("/new_password", r.NewPassword, User{}, &errs)
	return errs
}

// IsReset reports whether a token allows a reset now. Errors: Unavailable.
func (s *Service) IsReset(ctx context.Context, token string) (bool, error) {
	if !isToken(token) {
		return false, nil
	}
	_, err := s.store.TokenHolder(ctx, hashToken(token), PasswordReset)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// ConfirmReset sets a new password, ends all sessions and clears the counts of failures. The token has proved the control of the
// mailbox that it was sent to, so that the email is verified. The network that the request comes
// from becomes a known one: its owner can log in from there while strangers go on guessing elsewhere. A password that is
// refused leaves the token good. One request at a time works with a token, and has one password hashed, even if the client hangs up.
//
// Errors: Invalid, InvalidToken, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ConfirmReset(ctx context.Context, r Reset) error {
	if err := s.CheckReset(r).Err(); err != nil {
		return err
	}
	leave, err := s.confirmations.Enter(ctx, hashToken(r.Token))
	if err != nil {
		return err
	}
	defer leave()
	holder, err := s.store.TokenHolder(ctx, hashToken(r.Token), PasswordReset)
	if err != nil {
		return s.tokenError(ctx, PasswordReset, err)
	}
	var errs FieldErrors
	s.checkPassword("/new_password", r.NewPassword, holder, &errs)
	if err := errs.Err(); err != nil {
		return err
	}
	patient, cancel := withoutCancel(ctx)
	defer cancel()
	hash, err := s.hasher.Hash(patient, flow(ctx, password.Other), r.NewPassword) // before the transaction, which must not wait for its turn
	if err != nil {
		return hashError(err)
	}
	_, err = s.store.Redeem(ctx, hashToken(r.Token), PasswordReset, func(ctx context.Context, _ Tx, u User) (Change, error) {
		change, err := s.resetChange(u, hash)
		change.ClearFailures, change.LoginNetwork = true, NetworkOf(OriginOf(ctx).IP)
		return change, err
	})
	return s.tokenError(ctx, PasswordReset, err)
}

// resetChange is the Change to a new password and to a verified email.
func (s *Service) resetChange(old User, hash string) (Change, error) {
	u := old
	u.EmailVerified = true
	verified, err := s.changed(old, u, nil, UserUpdated)
	if err != nil {
		return Change{}, err
	}
	if verified.User != nil {
		u = *verified.User
	}
	change, err := s.passwordChange(u, hash)
	change.User = verified.User
	change.Events, change.Audit = append(verified.Events, change.Events...), append(verified.Audit, change.Audit...)
	return change, err
}
