package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"user-service/pkg/event"
)

// Purpose is what a one-time token is for.
type Purpose string

// The purposes of one-time tokens.
const (
	PasswordReset     Purpose = "password_reset"
	EmailVerification Purpose = "email_verification"
	Invitation        Purpose = "invitation"
)

// Limits of one-time tokens (OWASP Forgot Password Cheat Sheet).
const (
	resetTTL        = time.Hour
	verificationTTL = 24 * time.Hour
	invitationTTL   = 7 * 24 * time.Hour
	// FreshTokenAge is the window in which at most maxFreshTokens tokens for one purpose are sent to a mailbox, for all accounts
	// together.
	FreshTokenAge  = 10 * time.Minute
	maxFreshTokens = 5

	tokenBytes = 32 // random bytes of a token
)

// deliveries has the lifetime of a token and the type of the event that delivers it, by purpose.
var deliveries = map[Purpose]struct {
	ttl   time.Duration
	event event.Type
}{
	PasswordReset:     {resetTTL, event.PasswordResetRequested},
	EmailVerification: {verificationTTL, event.EmailVerificationRequested},
	Invitation:        {invitationTTL, event.InvitationRequested},
}

// TokenHash is the SHA-256 of a one-time token. Only the hash is stored. A token has 256 random bits, so the hash needs no salt.
type TokenHash [sha256.Size]byte

func hashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// OneTimeToken is a stored one-time token.
type OneTimeToken struct {
	Hash      TokenHash
	Purpose   Purpose
	Email     string // the token becomes invalid when the user's email changes
	CreatedAt time.Time
	ExpiresAt time.Time
}

// issue returns the Change that creates and announces a token for u. After maxFreshTokens recent tokens it returns the zero Change.
func (s *Service) issue(ctx context.Context, tx Tx, u User, purpose Purpose) (Change, error) {
	fresh, now, err := tx.FreshTokens(ctx, u, purpose)
	if err != nil {
		return Change{}, err
	}
	return issue(u, purpose, fresh, now)
}

// issue does the same as Service.issue with a given number of fresh tokens and a given time.
func issue(u User, purpose Purpose, fresh int, now time.Time) (Change, error) {
	if fresh >= maxFreshTokens {
		return Change{}, nil
	}
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails: crypto/rand would end the program
	token := base64.RawURLEncoding.EncodeToString(raw)
	expires := now.Add(deliveries[purpose].ttl)
	requested, err := event.New(deliveries[purpose].event, u.ID, u.Version, now,
		event.TokenIssued{User: u, Token: token, ExpiresAt: expires})
	return Change{
		Token:  &OneTimeToken{Hash: hashToken(token), Purpose: purpose, Email: u.Email, CreatedAt: now, ExpiresAt: expires},
		Events: []event.Event{requested}, Audit: []Audit{{Action: TokenCreated, Detail: Detail{Purpose: purpose}}},
	}, err
}

// CheckToken returns what is wrong with the form of a one-time token.
func CheckToken(token string) FieldErrors {
	var errs FieldErrors
	checkToken(token, &errs)
	return errs
}

func checkToken(token string, errs *FieldErrors) {
	if token == "" {
		errs.Add("/token", Required, "is required")
	}
}

// isToken reports whether a text has the form of a one-time token.
func isToken(token string) bool {
	return len(token) == base64.RawURLEncoding.EncodedLen(tokenBytes)
}

// tokenError turns NotFound into InvalidToken and records it in the audit trail. It returns any other error unchanged.
func (s *Service) tokenError(ctx context.Context, purpose Purpose, err error) error {
	if !isNotFound(err) {
		return err
	}
	return s.recordRefusal(ctx, Audit{Action: TokenRefused, Detail: Detail{Purpose: purpose}},
		&Error{Code: InvalidToken, Detail: "The token is invalid or has expired; request a new one.", Err: err})
}
