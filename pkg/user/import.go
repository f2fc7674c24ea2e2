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

// Import is an account that another service kept until now.
type Import struct {
	ID            uuid.UUID // uuid.Nil stands for a new one
	Email         string
	EmailVerified bool
	PasswordHash  string // in a format that package password reads; replaced at the first login
	Profile       Profile
	Roles         []string  // nil stands for what a new account has
	Status        Status    // empty stands for Active
	CreatedAt     time.Time // when the other service made it; zero stands for now
}

// Importer brings accounts over, in batches. It knows the roles as they were when it was made.
type Importer struct {
	service *Service
	roles   []access.Role
}

// NewImporter returns an Importer. Errors: Unavailable.
func (s *Service) NewImporter(ctx context.Context) (*Importer, error) {
	roles, err := s.store.Roles(ctx)
	return &Importer{service: s, roles: roles}, err
}

// Check returns what is wrong with an account, apart from the email being taken.
func (im *Importer) Check(a Import) FieldErrors {
	var errs FieldErrors
	checkEmail(TrimEmail(a.Email), &errs)
	a.Profile.check(&errs)
	if a.PasswordHash == "" {
		errs.Add("/password_hash", Required, "is required")
	} else if err := im.service.hasher.Check(a.PasswordHash); err != nil {
		errs.Add("/password_hash", InvalidFormat, err.Error())
	}
	if a.Status != "" && !a.Status.Valid() {
		errs.Add("/status", InvalidValue, "must be active or disabled")
	}
	if a.CreatedAt.After(im.service.now()) {
		errs.Add("/created_at", OutOfRange, "must not be in the future")
	}
	return append(errs, checkRoles(a.Roles, im.roles)...)
}

// Import makes an account of each of the batch whose email nobody has, in one transaction, and
// returns how many those are. The others are left alone, so that an import that was
// interrupted can be run again. taken has the indexes of those whose id belongs to an account with another email. A dry run tells the
// same and changes nothing.
//
// Errors: Invalid (Check finds something wrong with one of the batch), Unavailable.
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

// account is what becomes of an Import. It keeps the id that the other service gave it, if that is a UUID: other systems know the user
// by it. Lists are sorted by ids, so that such accounts are not in the order in which they were made.
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
