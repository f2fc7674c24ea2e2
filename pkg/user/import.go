package user

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/password"
)

// Import is an account of another service that is to be imported.
type Import struct {
	ID            uuid.UUID // uuid.Nil: the account gets a new id
	Email         string
	EmailVerified bool
	PasswordHash  string // in a format that package password reads; replaced at the first login. Empty: the account has no password
	Profile       Profile
	Roles         []string  // nil: the role user, as for a new account
	Status        Status    // empty: Active
	CreatedAt     time.Time // when the other service created it; zero: now
}

// Importer checks and stores accounts of another service, in batches. It knows the roles that existed at its construction.
type Importer struct {
	service *Service
	roles   []access.Role
}

// NewImporter returns an Importer. Errors: Unavailable.
func (s *Service) NewImporter(ctx context.Context) (*Importer, error) {
	roles, err := s.store.Roles(ctx)
	return &Importer{service: s, roles: roles}, err
}

// Check returns what is wrong with an account. It does not check whether the email is taken.
func (im *Importer) Check(a Import) FieldErrors {
	var errs FieldErrors
	checkEmail(TrimEmail(a.Email), &errs)
	a.Profile.check(&errs)
	if a.PasswordHash != "" {
		if err := im.service.hasher.Check(a.PasswordHash); err != nil {
			errs.Add("/password_hash", InvalidFormat, err.Error())
		}
	}
	if a.Status != "" && !a.Status.Valid() {
		errs.Add("/status", InvalidValue, "must be active or disabled")
	}
	if a.CreatedAt.After(im.service.now()) {
		errs.Add("/created_at", OutOfRange, "must not be in the future")
	}
	return append(errs, checkRoles(a.Roles, im.roles)...)
}

// Import creates an account for each item of the batch whose email has no account yet, in one transaction. It returns the number of
// created accounts. It leaves existing accounts unchanged, so that an interrupted import can be repeated. taken has the indexes of the
// items whose id belongs to an account with another email. A dry run returns the same results but stores nothing.
//
// Errors: Invalid (Check finds an error in one of the items), Unavailable.
func (im *Importer) Import(ctx context.Context, batch []Import, dryRun bool) (created int, taken []int, err error) {
	accounts := make([]NewAccount, len(batch))
	for i, a := range batch {
		if err := im.Check(a).Err(); err != nil {
			return 0, nil, err
		}
		if accounts[i], err = a.account(im.service.now()); err != nil {
			return 0, nil, err
		}
	}
	return im.service.store.Import(ctx, accounts, dryRun)
}

// account returns the new account of an Import. It keeps a UUID of the other service, because other systems know the user by
// this id. Lists are sorted by id, so imported accounts may not be in the order of their creation.
func (a Import) account(now time.Time) (NewAccount, error) {
	id := a.ID
	if id == uuid.Nil {
		var err error
		if id, err = uuid.NewV7(); err != nil {
			return NewAccount{}, fmt.Errorf("make a user id: %w", err)
		}
	}
	u := User{
		ID: id, Email: TrimEmail(a.Email), EmailVerified: a.EmailVerified, Profile: a.Profile, Roles: []string{access.User},
		Status: Active, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if a.Roles != nil {
		u.Roles = sorted(a.Roles)
	}
	if a.Status != "" {
		u.Status = a.Status
	}
	if !a.CreatedAt.IsZero() {
		u.CreatedAt = a.CreatedAt.UTC().Truncate(time.Microsecond)
	}
	created, err := event.New(event.UserCreated, u.ID, u.Version, now, event.Created{User: u})
	return NewAccount{User: u, PasswordHash: a.PasswordHash, HashPrefix: password.Prefix(a.PasswordHash), Created: created}, err
}
