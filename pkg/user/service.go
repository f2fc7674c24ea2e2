package user

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/factor"
	"user-service/pkg/password"
	"user-service/pkg/token"
)

// Config configures a Service.
type Config struct {
	RegistrationEnabled bool
	// VerifyAtRegistration makes each registration send a verification token to the new email.
	VerifyAtRegistration bool
	MaxFailures          int // Consecutive failures from one network before a backoff. 0: no backoff.
	Passwords            password.Policy
	Breaches             Breaches             // nil: new passwords are not looked up.
	Workloads            Workloads            // nil: workloads are refused.
	RefreshIdleTTL       time.Duration        // A session ends when it was unused for this time.
	RefreshTTL           time.Duration        // A session ends after this time.
	DataKeys             *factor.Keys         // Encrypt the secrets of second factors. nil: second factors are off.
	RelyingParty         *factor.RelyingParty // Verifies passkeys. nil: passkeys are off.
	Issuer               string               // The name of the service in authenticator apps, or a URL with this host.
	Log                  *slog.Logger         // Gets failures after a response. nil: discarded.
	Observer             Observer             // nil: discarded.
}

// Breaches finds out whether passwords are known from data breaches.
type Breaches interface {
	// Contains reports whether a password is known from a data breach. It returns false if it can't find out.
	Contains(ctx context.Context, password string) bool
}

// Observer counts signs of an attack. Its methods must not block.
type Observer interface {
	LockedOut()    // a backoff begins
	TokenReused()  // a used refresh token was presented, and its session ended
	ResetDropped() // a requested reset was not sent

	LoggedIn(amr []string)   // a session was opened, with these authentication methods
	FactorAdded(typ string)  // a factor was confirmed
	FactorRemoved(by string) // a confirmed factor was removed: by its "user", or by an "other" caller
}

type noopObserver struct{}

func (noopObserver) LockedOut()    {}
func (noopObserver) TokenReused()  {}
func (noopObserver) ResetDropped() {}

func (noopObserver) LoggedIn([]string)    {}
func (noopObserver) FactorAdded(string)   {}
func (noopObserver) FactorRemoved(string) {}

// Service enforces the rules of accounts.
type Service struct {
	cfg    Config
	store  Store
	hasher *password.Hasher
	tokens *token.Tokens
	resets *resetQueue
	now    func() time.Time
	costs  costCount

	reauthentications Serializer[uuid.UUID] // One at a time for each user: see reauthenticate.
	confirmations     Serializer[TokenHash] // One at a time for each token of a reset or an invitation.
	running           sync.Map              // The IdempotencyHash of each running request with a key.
}

// New returns a Service. tokens may be nil in a program that issues no tokens.
func New(cfg Config, store Store, hasher *password.Hasher, tokens *token.Tokens) *Service {
	if cfg.Observer == nil {
		cfg.Observer = noopObserver{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, store: store, hasher: hasher, tokens: tokens, resets: newResetQueue(), now: databaseNow}
}

// databaseNow returns the time in the resolution of the database, so that a time equals its stored value.
func databaseNow() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// CheckRegistration validates a registration. It does not check whether the email is taken.
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

// PasswordMinLength returns the minimum number of characters of a new password.
func (s *Service) PasswordMinLength() int { return s.cfg.Passwords.EffectiveMinLength() }

// MayRegister returns nil if registration is enabled. Errors: RegistrationDisabled.
func (s *Service) MayRegister() error {
	if s.cfg.RegistrationEnabled {
		return nil
	}
	return &Error{Code: RegistrationDisabled, Detail: "Registration is disabled; an administrator creates accounts."}
}

// Register creates an account for an anonymous caller.
//
// Errors: RegistrationDisabled, Invalid, EmailTaken, KeyInUse, KeyReused, Overloaded, Unavailable.
func (s *Service) Register(ctx context.Context, r Registration) (User, error) {
	if err := s.MayRegister(); err != nil {
		return User{}, err
	}
	var sends Purpose
	if s.cfg.VerifyAtRegistration {
		sends = EmailVerification
	}
	return s.once(ctx, r.Idempotency, func() (User, error) {
		u, err := s.create(ctx, access.Internal(uuid.Nil), r, sends, access.User)
		return u, s.refuseTaken(ctx, UserCreateFailed, uuid.Nil, err)
	})
}

// Create creates an account with roles, whether or not registration is enabled.
//
// Errors: the errors of a grant, Invalid (also for an unknown role), EmailTaken, Overloaded, Unavailable.
func (s *Service) Create(ctx context.Context, grant access.Grant, r Registration, roles ...string) (User, error) {
	return s.create(ctx, grant, r, "", roles...)
}

// create creates an account with a password. If sends is not empty, it also sends a token for this purpose.
func (s *Service) create(ctx context.Context, grant access.Grant, r Registration, sends Purpose, roles ...string) (User, error) {
	if err := s.CheckRegistration(r).Err(); err != nil {
		return User{}, err
	}
	if err := s.checkGiven(ctx, roles); err != nil {
		return User{}, err
	}
	hash, err := s.hashNew(ctx, flow(ctx, password.Other), "/password", r.Password)
	if err != nil {
		return User{}, err
	}
	return s.add(ctx, grant, NewAccount{
		User: User{Email: r.Email, Profile: r.Profile, Roles: sorted(roles)}, PasswordHash: hash, Sends: sends, Idempotency: r.Idempotency,
	})
}

// add stores a new active account. If a.Sends is not empty, it also sends a token for this purpose.
func (s *Service) add(ctx context.Context, grant access.Grant, a NewAccount) (User, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return User{}, fmt.Errorf("create a user id: %w", err)
	}
	now := s.now()
	a.User.ID, a.User.Status, a.User.Version, a.User.CreatedAt, a.User.UpdatedAt = id, Active, 1, now, now
	created, err := event.New(event.UserCreated, id, a.User.Version, now, event.Created{User: a.User})
	if err != nil {
		return User{}, err
	}
	return a.User, s.store.Create(ctx, grant, a, func(fresh int, now time.Time) (change Change, err error) {
		if a.Sends != "" {
			change, err = issue(a.User, a.Sends, fresh, now)
		}
		change.Events = append([]event.Event{created}, change.Events...)
		return change, err
	})
}

// checkGiven validates the roles of a new account. For a single role it needs no query: a single role always fits into a token, and a
// foreign key ensures that the role exists.
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

// List returns a page of accounts, sorted by id. Errors: Unavailable.
func (s *Service) List(ctx context.Context, f Filter) (Page, error) { return s.store.Users(ctx, f) }

// hashError maps an error of the hasher to an error of this package.
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
