package user

import (
	"context"
	"slices"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

// Precondition says which versions of an account a change may start from. Nil allows all.
type Precondition func(version int64) bool

func (p Precondition) check(u User) error {
	if p == nil || p(u.Version) {
		return nil
	}
	return ErrPrecondition()
}

// ErrPrecondition returns the error of a request whose condition does not hold.
func ErrPrecondition() error {
	return &Error{Code: PreconditionFailed, Detail: "A condition of the request does not hold; read the user again and repeat the request."}
}

// Update changes the writable members of the account that the grant is about. Users who change
// their own email have to enter their password. Another's change of an email ends the user's sessions. A new email gets a token that
// verifies it.
//
// Errors: those of a grant, Invalid, NotFound, EmailTaken, PreconditionFailed, ReauthenticationRequired,
// TooManyRequests, Overloaded, Unavailable.
func (s *Service) Update(ctx context.Context, by Identity, grant access.Grant, edit Edit, cond Precondition) (User, error) {
	if err := edit.Check().Err(); err != nil {
		return User{}, err
	}
	shown, done, err := s.reauthenticateForEmail(ctx, by, grant, edit)
	if err != nil {
		return User{}, err
	}
	defer done()
	u, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		u := old
		if err := edit.apply(&u); err != nil {
			return Change{}, err
		}
		moved := u.Email != old.Email
		if moved && grant.Self() {
			if err := shown.check(ctx, tx, old.ID); err != nil {
				return Change{}, err
			}
		}
		if moved {
			u.EmailVerified = false
		}
		change, err := s.changed(old, u, cond, UserUpdated)
		if err != nil || !moved {
			return change, err
		}
		change.EndSessions = !grant.Self()
		sent, err := s.issue(ctx, tx, *change.User, EmailVerification, verificationTTL, event.EmailVerificationRequested)
		change.Token = sent.Token
		change.Events, change.Audit = append(change.Events, sent.Events...), append(change.Audit, sent.Audit...)
		return change, err
	})
	return u, s.refuseTaken(ctx, UserUpdateFailed, grant.Target(), err)
}

// SetRoles replaces the roles of an account.
//
// Errors: those of a grant, Invalid (an unknown role, or too many), NotFound, PreconditionFailed, LastAdmin, Unavailable.
func (s *Service) SetRoles(ctx context.Context, grant access.Grant, roles []string, cond Precondition) (User, error) {
	if err := CheckRoles(roles).Err(); err != nil {
		return User{}, err
	}
	return s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		known, err := tx.Roles(ctx, roles)
		if err != nil {
			return Change{}, err
		}
		if err := checkRoles(roles, known).Err(); err != nil {
			return Change{}, err
		}
		if err := cond.check(old); err != nil {
			return Change{}, err
		}
		u := old
		u.Roles = sorted(roles)
		if err := checkLastAdmin(ctx, tx, old, u); err != nil {
			return Change{}, err
		}
		return s.changed(old, u, nil, RolesChanged)
	})
}

// SetStatus enables or disables an account. Disabling ends all its sessions, and its tokens for a new password.
//
// Errors: those of a grant, NotFound, PreconditionFailed, LastAdmin, Unavailable.
func (s *Service) SetStatus(ctx context.Context, grant access.Grant, status Status, cond Precondition) (User, error) {
	return s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		if err := cond.check(old); err != nil {
			return Change{}, err
		}
		u := old
		u.Status = status
		if err := checkLastAdmin(ctx, tx, old, u); err != nil {
			return Change{}, err
		}
		change, err := s.changed(old, u, nil, UserUpdated)
		change.EndSessions, change.InvalidateTokens = status == Disabled, status == Disabled
		return change, err
	})
}

// Delete erases an account and all personal data with it.
//
// Errors: those of a grant, NotFound, LastAdmin, PreconditionFailed, Unavailable.
func (s *Service) Delete(ctx context.Context, grant access.Grant, cond Precondition) error {
	_, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		if err := cond.check(old); err != nil {
			return Change{}, err
		}
		if err := checkLastAdmin(ctx, tx, old, User{}); err != nil {
			return Change{}, err
		}
		deleted, err := event.New(event.UserDeleted, old.ID, old.Version+1, s.now(), event.Subject{ID: old.ID})
		return Change{Delete: true, Events: []event.Event{deleted}, Audit: []Audit{{Action: UserDeleted}}}, err
	})
	return err
}

// changed returns the Change from old to u with its event, or none if they are the same.
func (s *Service) changed(old, u User, cond Precondition, action Action) (Change, error) {
	if err := cond.check(old); err != nil {
		return Change{}, err
	}
	names, previous := diff(old, u)
	if len(names) == 0 {
		return Change{}, nil
	}
	u.Version++
	u.UpdatedAt = s.now()
	updated, err := event.New(event.UserUpdated, u.ID, u.Version, u.UpdatedAt,
		event.Updated{User: u, Changed: names, Previous: previous})
	return Change{
		User: &u, Events: []event.Event{updated}, Audit: []Audit{{Action: action, Detail: changeDetail(old, u, names)}},
	}, err
}

// checkLastAdmin refuses a change from old to u that would leave nobody to administer the service.
func checkLastAdmin(ctx context.Context, tx Tx, old, u User) error {
	if !isActiveAdmin(old) || isActiveAdmin(u) {
		return nil
	}
	another, err := tx.AnotherActiveAdmin(ctx, old.ID)
	if err != nil || another {
		return err
	}
	return &Error{Code: LastAdmin, Detail: "This is the last active admin; make another user an admin first."}
}

func isActiveAdmin(u User) bool { return u.Status == Active && slices.Contains(u.Roles, access.Admin) }

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return append([]string{}, slices.Compact(out)...)
}
