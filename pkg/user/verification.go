package user

import (
	"context"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

// RequestVerification sends a token to the mailbox of a user that proves its control, unless that
// is proved already. Errors: NotFound, Unavailable.
func (s *Service) RequestVerification(ctx context.Context, id uuid.UUID) error {
	_, err := s.store.Change(ctx, id, func(ctx context.Context, tx Tx, u User) (Change, error) {
		if u.EmailVerified {
			return Change{}, nil
		}
		return s.issue(ctx, tx, u, EmailVerification, verificationTTL, event.EmailVerificationRequested)
	})
	return err
}

// ConfirmVerification notes that the user's email is verified. Errors: Invalid, InvalidToken, Unavailable.
func (s *Service) ConfirmVerification(ctx context.Context, token string) error {
	if err := CheckToken(token).Err(); err != nil {
		return err
	}
	_, err := s.store.Redeem(ctx, hashToken(token), EmailVerification, func(_ context.Context, _ Tx, old User) (Change, error) {
		u := old
		u.EmailVerified = true
		return s.changed(old, u, nil, UserUpdated)
	})
	return s.tokenError(ctx, err)
}
