package user

import (
	"context"
	"slices"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

// Precondition reports whether a change may be made to this version of an account. A nil Precondition allows all versions.
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

// Update changes the writable fields of the grant's target. Users who change their own email must enter their password. If another caller
// changes the email, the user's sessions end. A new email is unverified, and Update sends a verification token to it.
//
// Errors: the errors of a grant, Invalid, NotFound, EmailTaken, PreconditionFailed, ReauthenticationRequired,
// TooManyRequests, Overloaded, Unavailable.
func (s *Service) Update(ctx context.Context, by Identity, grant access.Grant, edit Edit, cond Precondition) (User, error) {
	if err := edit.Check().Err(); err != nil {
		return User{}, err
	}
	verified, done, err := s.reauthenticateForEmail(ctx, by, grant, edit)
	if err != nil {
		return User{}, err
	}
	defer done()
	u, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		return s.decideUpdate(ctx, tx, old, update{edit: edit, self: grant.Self(), verified: verified, cond: cond})
	})
	return u, s.refuseTaken(ctx, UserUpdateFailed, grant.Target(), err)
}

// update is a change of the writable fields.
type update struct {
	edit     Edit
	self     bool         // the user changes their own account
	verified passwordTime // the password that the user has entered
	cond     Precondition
}

func (s *Service) decideUpdate(ctx context.Context, tx Tx, old User, up update) (Change, error) {
	u := old
	if err := up.edit.apply(&u); err != nil {
		return Change{}, err
	}
	if u.Email == old.Email {
		return s.changed(old, u, up.cond, UserUpdated)
	}
	if up.self {
		if err := up.verified.check(ctx, tx, old.ID); err != nil {
			return Change{}, err
		}
	}
	u.EmailVerified = false
	change, err := s.changed(old, u, up.cond, UserUpdated)
	if err != nil {
		return change, err
	}
	change.EndSessions = !up.self
	sent, err := s.issue(ctx, tx, *change.User, EmailVerification)
	change.Token = sent.Token
	change.Events, change.Audit = append(change.Events, sent.Events...), append(change.Audit, sent.Audit...)
	return change, err
}

// SetRoles replaces the roles of an account.
//
// Errors: the errors of a grant, Invalid (unknown or too many roles), NotFound, PreconditionFailed, LastAdmin, Unavailable.
func (s *Service) SetRoles(ctx context.Context, grant access.Grant, roles []string, cond Precondition) (User, error) {
	if err := CheckRoles(roles).Err(); err != nil {
		return User{}, err
	}
	return s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		return s.decideRoles(ctx, tx, old, roles, cond)
	})
}

func (s *Service) decideRoles(ctx context.Context, tx Tx, old User, roles []string, cond Precondition) (Change, error) {
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
}

// SetStatus enables or disables an account. Disabling ends all its sessions and invalidates its reset tokens.
//
// Errors: the errors of a grant, NotFound, PreconditionFailed, LastAdmin, Unavailable.
func (s *Service) SetStatus(ctx context.Context, grant access.Grant, status Status, cond Precondition) (User, error) {
	return s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		return s.decideStatus(ctx, tx, old, status, cond)
	})
}

func (s *Service) decideStatus(ctx context.Context, tx Tx, old User, status Status, cond Precondition) (Change, error) {
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
}

// Unlock ends every backoff of an account. It clears the counts of login failures with the account's email, of failed reauthentications,
// and of wrong codes.
//
// Errors: the errors of a grant, NotFound, Unavailable.
func (s *Service) Unlock(ctx context.Context, grant access.Grant) error {
	_, err := s.store.Unlock(ctx, grant, func(context.Context, Tx, User) (Change, error) {
		return Change{
			ClearFailures: true, ClearCodes: true,
			Audit: []Audit{{Action: UserUpdated, Detail: Detail{Changed: []string{"login_failures"}}}},
		}, nil
	})
	return err
}

// Delete erases an account and its personal data.
//
// Errors: the errors of a grant, NotFound, LastAdmin, PreconditionFailed, Unavailable.
func (s *Service) Delete(ctx context.Context, grant access.Grant, cond Precondition) error {
	_, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, old User) (Change, error) {
		return s.decideErasure(ctx, tx, old, cond)
	})
	return err
}

func (s *Service) decideErasure(ctx context.Context, tx Tx, old User, cond Precondition) (Change, error) {
	if err := cond.check(old); err != nil {
		return Change{}, err
	}
	if err := checkLastAdmin(ctx, tx, old, User{}); err != nil {
		return Change{}, err
	}
	deleted, err := event.New(event.UserDeleted, old.ID, old.Version+1, s.now(), event.Subject{ID: old.ID})
	return Change{Delete: true, Events: []event.Event{deleted}, Audit: []Audit{{Action: UserDeleted}}}, err
}

// changed returns the Change from old to u with its event. It returns the zero Change if old and u do not differ.
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

// checkLastAdmin refuses a change from old to u if no active admin would remain. Errors: LastAdmin.
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
