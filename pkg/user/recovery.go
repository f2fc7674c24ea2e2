package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/factor"
	"user-service/pkg/password"
)

// CheckEmail validates an email.
func CheckEmail(email string) FieldErrors {
	var errs FieldErrors
	checkEmail(email, &errs)
	return errs
}

// RequestReset sends a reset token to an email if it belongs to an active account. The response and the response time are the same for an
// unknown email, because the token is created after the response.
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

// sendResetLater sends a reset token after the response. Failures are only logged and counted, because the response must not depend on
// whether the account exists.
func (s *Service) sendResetLater(ctx context.Context, id uuid.UUID) {
	send := func(ctx context.Context) error {
		_, err := s.store.Change(ctx, access.Internal(id), func(ctx context.Context, tx Tx, u User) (Change, error) {
			if u.Status != Active {
				return Change{}, nil
			}
			return s.issue(ctx, tx, u, PasswordReset)
		})
		return err
	}
	s.resets.enqueue(ctx, id, send, func(err error) {
		if !isNotFound(err) { // otherwise the account was erased in the meantime
			s.cfg.Observer.ResetDropped()
			s.cfg.Log.WarnContext(ctx, "a requested reset was not sent", "error", err)
		}
	})
}

// Finish waits until the resets of all answered requests are sent or have failed. Errors: the error of ctx.
func (s *Service) Finish(ctx context.Context) error { return s.resets.finish(ctx) }

// SendReset sends a reset token to a user. Errors: the errors of a grant, NotFound, Unavailable.
func (s *Service) SendReset(ctx context.Context, grant access.Grant) error {
	_, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		return s.issue(ctx, tx, u, PasswordReset)
	})
	return err
}

// Reset is the input that sets a password with the token of a reset or an invitation.
type Reset struct {
	Token       string
	NewPassword string
}

// CheckReset validates a reset. It finds the errors that can be found without the account.
func (s *Service) CheckReset(r Reset) FieldErrors {
	var errs FieldErrors
	checkToken(r.Token, &errs)
	if r.NewPassword == "" {
		errs.Add("/new_password", Required, "is required")
	}
	s.checkPassword("/new_password", r.NewPassword, User{}, &errs)
	return errs
}

// IsReset reports whether a reset token is valid. Errors: Unavailable.
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

// ConfirmReset sets a new password, ends all sessions, clears the login failures and verifies the email to which the token was sent. The
// network of the request becomes a known network. So the owner can log in from there while other people keep guessing passwords from
// elsewhere. If the new password is refused, the token stays valid. Requests with the same token are serialized, so that only one of them
// computes a hash at a time, even if the client disconnects.
//
// Errors: Invalid, InvalidToken, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ConfirmReset(ctx context.Context, r Reset) error {
	return s.redeem(ctx, r, PasswordReset, s.decideReset)
}

// redeemed decides how a locked account changes. hash is the hash of its new password.
type redeemed func(ctx context.Context, tx Tx, u User, hash string) (Change, error)

// redeem sets a new password with a one-time token for a purpose. decide gets the hash of the password.
//
// Errors: Invalid, InvalidToken, TooManyRequests, Overloaded, Unavailable.
func (s *Service) redeem(ctx context.Context, r Reset, purpose Purpose, decide redeemed) error {
	if err := s.CheckReset(r).Err(); err != nil {
		return err
	}
	leave, err := s.confirmations.Enter(ctx, hashToken(r.Token))
	if err != nil {
		return err
	}
	defer leave()
	holder, err := s.store.TokenHolder(ctx, hashToken(r.Token), purpose)
	if err != nil {
		return s.tokenError(ctx, purpose, err)
	}
	var errs FieldErrors
	s.checkPassword("/new_password", r.NewPassword, holder, &errs)
	if err := errs.Err(); err != nil {
		return err
	}
	uncanceled, cancel := withoutCancel(ctx)
	defer cancel()
	// The hash is computed before the transaction, because a transaction must not wait for a slot.
	hash, err := s.hashNew(uncanceled, flow(ctx, password.Other), "/new_password", r.NewPassword)
	if err != nil {
		return err
	}
	_, err = s.store.Redeem(ctx, hashToken(r.Token), purpose, func(ctx context.Context, tx Tx, u User) (Change, error) {
		return decide(ctx, tx, u, hash)
	})
	return s.tokenError(ctx, purpose, err)
}

// decideReset returns the Change to a new password and a verified email. If the email was not verified before, it removes the passkeys.
// Somebody else may have registered the email and added them. They would still log in, because they need no password.
func (s *Service) decideReset(ctx context.Context, tx Tx, old User, hash string) (Change, error) {
	u := old
	verified, err := s.decideVerified(old)
	if err != nil {
		return Change{}, err
	}
	if verified.User != nil {
		u = *verified.User
	}
	change, err := s.passwordChange(u, hash)
	change.User, change.ClearFailures, change.LoginNetwork = verified.User, true, NetworkOf(OriginOf(ctx).IP)
	change.Events, change.Audit = append(verified.Events, change.Events...), append(verified.Audit, change.Audit...)
	if err == nil && verified.User != nil {
		err = s.removePasskeys(ctx, tx, u, &change)
	}
	return change, err
}

// removePasskeys adds the removal of all passkeys to a change, and of the recovery codes if no other factor remains.
func (s *Service) removePasskeys(ctx context.Context, tx Tx, u User, change *Change) error {
	known, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return err
	}
	confirmed, removed := known.confirmed(), 0
	for _, f := range confirmed {
		if f.Type != factor.PasskeyType {
			continue
		}
		var removal Change
		if err := s.announceFactor(ctx, &removal, event.FactorRemoved, u, f); err != nil {
			return err
		}
		change.Events, change.Audit = append(change.Events, removal.Events...), append(change.Audit, removal.Audit...)
		removed++
	}
	change.Factors.RemovePasskeys = true
	if removed > 0 && removed == len(confirmed) {
		change.Factors.RecoveryCodes = []factor.CodeHash{}
	}
	return nil
}
