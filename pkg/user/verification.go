package user

import (
	"context"

	"user-service/pkg/access"
)

// RequestVerification sends a verification token to a user whose email is not verified yet. Errors: the errors of a grant, NotFound,
// Unavailable.
func (s *Service) RequestVerification(ctx context.Context, grant access.Grant) error {
	_, err := s.store.Change(ctx, grant, s.decideVerification)
	return err
}

func (s *Service) decideVerification(ctx context.Context, tx Tx, u User) (Change, error) {
	if u.EmailVerified {
		return Change{}, nil
	}
	return s.issue(ctx, tx, u, EmailVerification)
}

// ConfirmVerification marks the user's email as verified. Errors: Invalid, InvalidToken, Unavailable.
func (s *Service) ConfirmVerification(ctx context.Context, token string) error {
	if err := CheckToken(token).Err(); err != nil {
		return err
	}
	_, err := s.store.Redeem(ctx, hashToken(token), EmailVerification, func(_ context.Context, _ Tx, old User) (Change, error) {
		return s.decideVerified(old)
	})
	return s.tokenError(ctx, EmailVerification, err)
}

func (s *Service) decideVerified(old User) (Change, error) {
	u := old
	u.EmailVerified = true
	return s.changed(old, u, nil, UserUpdated)
}
