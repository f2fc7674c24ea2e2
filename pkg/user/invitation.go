package user

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

// An account has no password if an administrator created it, or if it was imported without a hash. A login fails as it does for an unknown
// email. The user sets the first password with the token of an invitation or of a reset.

// Invitee is the input for an account without a password.
type Invitee struct {
	Email   string
	Profile Profile
	Roles   []string // nil: the role user

	Idempotency *Idempotency // nil: the request has no idempotency key
}

// CheckInvitee returns what is wrong with an Invitee. It reports an unknown role only to a caller who may assign the other roles. It does
// not check whether the email is taken.
func (s *Service) CheckInvitee(ctx context.Context, grant access.Grant, in Invitee) FieldErrors {
	errs := in.check()
	var unknown *Error
	if err := s.checkAssigned(ctx, grant.ForNewAccount(in.roles())); errors.As(err, &unknown) {
		for _, e := range unknown.Fields {
			errs.Append(e)
		}
	}
	return errs
}

// check returns what is wrong with the form of an Invitee.
func (in Invitee) check() FieldErrors {
	var errs FieldErrors
	checkEmail(in.Email, &errs)
	in.Profile.check(&errs)
	return append(errs, CheckRoles(in.Roles)...)
}

// roles returns the roles of the new account, sorted.
func (in Invitee) roles() []string {
	if in.Roles == nil {
		return []string{access.User}
	}
	return sorted(in.Roles)
}

// Invite creates an account without a password, and sends an invitation to its email. The caller needs RolesAssign for each role except
// User, and all permissions that the roles give.
//
// Errors: the errors of a grant, Invalid (also for an unknown role), EmailTaken, KeyInUse, KeyReused, Unavailable.
func (s *Service) Invite(ctx context.Context, grant access.Grant, in Invitee) (User, error) {
	return s.once(ctx, in.Idempotency, func() (User, error) { return s.invite(ctx, grant, in) })
}

func (s *Service) invite(ctx context.Context, grant access.Grant, in Invitee) (User, error) {
	if in.check() != nil {
		return User{}, s.CheckInvitee(ctx, grant, in).Err()
	}
	in.Roles = in.roles()
	grant = grant.ForNewAccount(in.Roles)
	if err := s.checkAssigned(ctx, grant); err != nil {
		return User{}, err
	}
	u, err := s.add(ctx, grant, NewAccount{
		User: User{Email: in.Email, Profile: in.Profile, Roles: in.Roles}, Sends: Invitation, Idempotency: in.Idempotency,
	})
	return u, s.refuseTaken(ctx, UserCreateFailed, uuid.Nil, err)
}

// checkAssigned checks the roles of a new account before the transaction, which checks the grant again. So an unknown role is reported
// only to a caller who may assign roles. Errors: Forbidden, SecondFactorRequired, Invalid, Unavailable.
func (s *Service) checkAssigned(ctx context.Context, grant access.Grant) error {
	known, err := s.store.Roles(ctx)
	if err != nil {
		return err
	}
	given := access.Holder{Roles: grant.NewRoles()}
	for _, r := range known {
		if slices.Contains(given.Roles, r.Name) {
			given.Permissions = append(given.Permissions, r.Permissions...)
		}
	}
	if grant.NeedsFactor(grant.Caller(), given) {
		return ErrNeedsFactor()
	}
	if !grant.Allows(grant.Caller(), given) {
		return ErrForbidden()
	}
	return checkRoles(given.Roles, known).Err()
}

// SendInvitation sends the invitation of an account without a password again. Earlier invitations stay valid.
//
// Errors: the errors of a grant, NotFound, PasswordSet, Unavailable.
func (s *Service) SendInvitation(ctx context.Context, grant access.Grant) error {
	_, err := s.store.Change(ctx, grant, s.decideInvitation)
	return err
}

func (s *Service) decideInvitation(ctx context.Context, tx Tx, u User) (Change, error) {
	has, err := tx.HasPassword(ctx, u.ID)
	if err != nil {
		return Change{}, err
	}
	if has {
		return Change{}, &Error{Code: PasswordSet, Detail: "The account has a password already; start a password reset instead."}
	}
	return s.issue(ctx, tx, u, Invitation)
}

// ConfirmInvitation sets the first password of an account, and verifies the email to which the invitation was sent. Otherwise it does the
// same as ConfirmReset. If the new password is refused, the token stays valid.
//
// Errors: Invalid, InvalidToken, TooManyRequests, Overloaded, Unavailable.
func (s *Service) ConfirmInvitation(ctx context.Context, r Reset) error {
	return s.redeem(ctx, r, Invitation, s.decideFirstPassword)
}

// decideFirstPassword refuses an account that has a password. Usually its invitations are invalid already, but a replica of an older
// release does not invalidate them. Errors: NotFound.
func (s *Service) decideFirstPassword(ctx context.Context, tx Tx, old User, hash string) (Change, error) {
	has, err := tx.HasPassword(ctx, old.ID)
	if err == nil && has {
		err = &Error{Code: NotFound, Detail: "The account has a password already."}
	}
	if err != nil {
		return Change{}, err
	}
	return s.decideReset(ctx, tx, old, hash)
}
