package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

// resetTime is how long the answer to a request for a reset takes at least: more than the work for an
// email that has an account, so that time does not tell whether there is one.
const resetTime = 100 * time.Millisecond

// CheckEmail returns what is wrong with the form of an email.
func CheckEmail(email string) FieldErrors {
	var errs FieldErrors
	checkEmail(email, &errs)
	return errs
}

// RequestReset sends a token for a new password to the mailbox of an active account, if there
// is one with this email. The answer and its time are the same if there is none.
//
// Errors: Invalid, Unavailable.
func (s *Service) RequestReset(ctx context.Context, email string) error {
	if err := CheckEmail(email).Err(); err != nil {
		return err
	}
	answer := time.NewTimer(resetTime)
	defer answer.Stop()
	err := s.requestReset(ctx, email)
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
	return err
}

func (s *Service) requestReset(ctx context.Context, email string) error {
	u, err := s.store.UserByEmail(ctx, email)
	if err == nil && u.Status == Active {
		err = s.SendReset(ctx, u.ID)
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// SendReset sends a token for a new password to the mailbox of a user. Errors: NotFound, Unavailable.
func (s *Service) SendReset(ctx context.Context, id uuid.UUID) error {
	_, err := s.store.Change(ctx, id, func(ctx context.Context, tx Tx, u User) (Change, error) {
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
		errs.Add("/new_password", "is required")
	}
	s.checkPassword("/new_password", r.NewPassword, User{}, &errs)
	return errs
}

// ConfirmReset sets a new password and ends all sessions. A password that is refused leaves the
// token good.
//
// Errors: Invalid, InvalidToken, Overloaded, Unavailable.
func (s *Service) ConfirmReset(ctx context.Context, r Reset) error {
	if err := s.CheckReset(r).Err(); err != nil {
		return err
	}
	holder, err := s.store.TokenHolder(ctx, hashToken(r.Token), PasswordReset)
	if err != nil {
		return s.tokenError(ctx, err)
	}
	var errs FieldErrors
	s.checkPassword("/new_password", r.NewPassword, holder, &errs)
	if err := errs.Err(); err != nil {
		return err
	}
	hash, err := s.hasher.Hash(ctx, r.NewPassword) // before the transaction, which must not wait for its turn
	if err != nil {
		return hashing(err)
	}
	_, err = s.store.Redeem(ctx, hashToken(r.Token), PasswordReset, func(_ context.Context, _ Tx, u User) (Change, error) {
		return s.passwordChange(u, hash)
	})
	return s.tokenError(ctx, err)
}
