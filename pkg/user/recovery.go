package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/password"
)

// Bounds of requests for a reset. What is the same for everybody is done before the answer, which takes
// at least resetTime; what only an account needs is done after it, so that neither its time nor its failure tells
// that there is one.
const (
	resetTime    = 100 * time.Millisecond
	resetSlots   = 4               // requests at work at once, those after their answer included
	resetWait    = time.Second     // of others for one of the slots
	resetTimeout = 2 * time.Second // of the work after the answer
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
	err := s.requestReset(ctx, email)
	select {
	case <-answer.C:
	case <-ctx.Done():
	}
	return err
}

func (s *Service) requestReset(ctx context.Context, email string) error {
	waiting, cancel := context.WithTimeout(ctx, resetWait)
	defer cancel()
	if err := s.resets.Acquire(waiting, 1); err != nil { // before it is known whether there is an account
		return &Error{Code: Overloaded, Detail: "Too many resets are asked for at this moment; try again shortly.", RetryAfter: time.Second, Err: err}
	}
	u, err := s.store.UserByEmail(ctx, email)
	if err == nil && u.Status == Active {
		go s.sendResetLater(context.WithoutCancel(ctx), u.ID)
		return nil
	}
	s.resets.Release(1)
	if isNotFound(err) {
		return nil
	}
	return err
}

// sendResetLater ends the turn of a request that has been answered, or is about to be.
func (s *Service) sendResetLater(ctx context.Context, id uuid.UUID) {
	defer s.resets.Release(1)
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	if err := s.SendReset(ctx, id); err != nil && !isNotFound(err) {
		s.cfg.Log.WarnContext(ctx, "a reset that was asked for is not sent", "error", err)
	}
}

// Finish waits for the work that goes on after an answer, and ends what no answer needs. Error: that of ctx.
func (s *Service) Finish(ctx context.Context) error {
	s.costs.stop()
	err := s.resets.Acquire(ctx, resetSlots)
	if err == nil {
		s.resets.Release(resetSlots)
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
	hash, err := s.hasher.Hash(ctx, password.Other, r.NewPassword) // before the transaction, which must not wait for its turn
	if err != nil {
		return hashing(err)
	}
	_, err = s.store.Redeem(ctx, hashToken(r.Token), PasswordReset, func(_ context.Context, _ Tx, u User) (Change, error) {
		return s.passwordChange(u, hash)
	})
	return s.tokenError(ctx, err)
}
