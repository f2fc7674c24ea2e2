package user

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/password"
	"user-service/pkg/token"
)

// Config is what can be set about the rules of accounts.
type Config struct {
	RegistrationEnabled bool
	// VerifyAtRegistration sends a token to the mailbox of each account that somebody registers.
	VerifyAtRegistration bool
	MaxFailures          int // failures in a row, from one network, after which there is a backoff; 0: never
	Passwords            password.Policy
	RefreshIdleTTL       time.Duration // a session ends when unused for so long
	RefreshTTL           time.Duration // a session ends after so long, used or not
	Log                  *slog.Logger  // of what fails after the answer; nil: of nothing
	Observer             Observer      // nil: nobody looks
}

// Observer is told of signs of an attack. Its methods must not block.
type Observer interface {
	LockedOut()    // a backoff begins after too many failures in a row
	TokenReused()  // a spent refresh token was shown, and its session ended
	ResetDropped() // a requested reset of an account is not sent
}

type noopObserver struct{}

func (noopObserver) LockedOut()    {}
func (noopObserver) TokenReused()  {}
func (noopObserver) ResetDropped() {}

// Service is the life of accounts: every rule is here, whoever asks.
type Service struct {
	cfg    Config
	store  Store
	hasher *password.Hasher
	tokens *token.Tokens
	resets *resetQueue
	now    func() time.Time
	costs  costCount

	reauthentications Serializer[uuid.UUID] // by user, see reauthenticate
	confirmations     Serializer[TokenHash] // of resets
}

// New returns a Service. A program that issues no tokens may give nil for them.
func New(cfg Config, store Store, hasher *password.Hasher, tokens *token.Tokens) *Service {
	if cfg.Observer == nil {
		cfg.Observer = noopObserver{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, store: store, hasher: hasher, tokens: tokens, resets: newResetQueue(), now: databaseNow}
}

// databaseNow is the time in the database's resolution, so that what is returned now
// equals what is read later.
func databaseNow() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// CheckRegistration returns what is wrong with a registration, apart from the email being taken.
func (s *Service) CheckRegistration(r Registration) FieldErrors {
	var errs FieldErrors
	checkEmail(r.Email, &errs)
	r.Profile.check(&errs)
	if r.Password == "" {
		errs.Add("/password", Required, "is required")
	} else if err := s.cfg.Passwords.Check(r.Password, r.Email, r.Profile.Name); err != nil {
		errs.addPassword("/password", err)
	}
	return errs
}

// MayRegister returns nil where registration is open. Errors: RegistrationDisabled.
func (s *Service) MayRegister() error {
	if s.cfg.RegistrationEnabled {
		return nil
	}
	return &Error{Code: RegistrationDisabled, Detail: "Accounts are made by an administrator here."}
}

// Register makes an account for whoever asks.
//
// Errors: RegistrationDisabled, Invalid, EmailTaken, Overloaded, Unavailable.
func (s *Service) Register(ctx context.Context, r Registration) (User, error) {
	if err := s.MayRegister(); err != nil {
		return User{}, err
	}
	u, err := s.create(ctx, access.Internal(uuid.Nil), r, s.cfg.VerifyAtRegistration, access.User)
	return u, s.refuseTaken(ctx, UserCreateFailed, uuid.Nil, err)
}

// Create makes an account with the given roles, whether or not registration is open.
//
// Errors: those of a grant, and as Register; an unknown role is Invalid.
func (s *Service) Create(ctx context.Context, grant access.Grant, r Registration, roles ...string) (User, error) {
	return s.create(ctx, grant, r, false, roles...)
}

// create makes an account, and sends a token that verifies its email if that is asked for.
func (s *Service) create(ctx context.Context, grant access.Grant, r Registration, verify bool, roles ...string) (User, error) {
	if err := s.CheckRegistration(r).Err(); err != nil {
		return User{}, err
	}
	if err := s.checkGiven(ctx, roles); err != nil {
		return User{}, err
	}
	hash, err := s.hasher.Hash(ctx, flow(ctx, password.Other), r.Password)
	if err != nil {
		return User{}, hashError(err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return User{}, fmt.Errorf("make a user id: %w", err)
	}
	now := s.now()
	u := User{
		ID: id, Email: r.Email, Profile: r.Profile, Roles: sorted(roles), Status: Active,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	created, err := event.New(event.UserCreated, u.ID, u.Version, now, event.Created{User: u})
	if err != nil {
		return User{}, err
	}
	return u, s.store.Create(ctx, grant, u, hash, func(fresh int, now time.Time) (change Change, err error) {
		if verify {
			change, err = issue(u, EmailVerification, verificationTTL, event.EmailVerificationRequested, fresh, now)
		}
		change.Events = append([]event.Event{created}, change.Events...)
		return change, err
	})
}

// checkGiven refuses roles that a new account can't have. One alone is never too much, and
// that it is one is seen when the account is stored.
func (s *Service) checkGiven(ctx context.Context, roles []string) error {
	if len(roles) < 2 {
		return nil
	}
	known, err := s.store.Roles(ctx)
	if err != nil {
		return err
	}
	return checkRoles(roles, known).Err()
}

// Get returns an account. Errors: NotFound, Unavailable.
func (s *Service) Get(ctx context.Context, id uuid.UUID) (User, error) { return s.store.User(ctx, id) }

// List returns the accounts that the filter chooses, sorted by id. Errors: Unavailable.
func (s *Service) List(ctx context.Context, f Filter) (Page, error) { return s.store.Users(ctx, f) }

// hashError gives an error of the hasher its meaning to the caller.
func hashError(err error) error {
	var unstarted *password.StartError
	if errors.As(err, &unstarted) {
		return &Error{
			Code: Unavailable, Detail: "Passwords can't be checked at this moment; try again shortly.",
			RetryAfter: max(unstarted.Retry, time.Second), Err: err,
		}
	}
	if errors.Is(err, password.ErrBusy) {
		return &Error{
			Code: Overloaded, Detail: "Too many passwords are being checked at this moment; try again shortly.",
			RetryAfter: time.Second, Err: err,
		}
	}
	return fmt.Errorf("hash a password: %w", err)
}
