package user

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"user-service/pkg/access"
	"user-service/pkg/token"
)

// Limits of roles. An access token contains all permissions of its user, so their number is limited.
const (
	maxDescription     = 256 // characters
	maxPermissions     = 100
	maxPermissionBytes = 4096 // the total length of all names in bytes: a token has to fit into a request header
	maxRoles           = 30   // the maximum number of roles of a user
	// maxHolders is the maximum number of users that a role may have when it is deleted. One transaction changes all these users, and
	// stores an event for each user.
	maxHolders = 1000
)

var (
	roleName       = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	permissionName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.*-]*(:[a-z0-9_.*-]+)*$`)
)

// ValidRoleName reports whether a name is allowed for a role.
func ValidRoleName(name string) bool { return roleName.MatchString(name) }

// CheckRole validates the description and the permissions of a role.
func CheckRole(r access.Role) FieldErrors {
	var errs FieldErrors
	if utf8.RuneCountInString(r.Description) > maxDescription {
		errs.Add("/description", TooLong, fmt.Sprintf("must have at most %d characters", maxDescription), most(maxDescription))
	}
	checkVisible("/description", r.Description, &errs)
	if len(r.Permissions) > maxPermissions {
		errs.Add("/permissions", TooMany, fmt.Sprintf("must be at most %d", maxPermissions), most(maxPermissions))
	}
	if size := permissionBytes(r.Permissions); size > maxPermissionBytes {
		errs.Add("/permissions", TooLarge, fmt.Sprintf("must have at most %d bytes in all", maxPermissionBytes), most(maxPermissionBytes))
	}
	for i, p := range r.Permissions {
		if len(p) > 128 || !permissionName.MatchString(string(p)) {
			errs.Add(fmt.Sprintf("/permissions/%d", i), InvalidFormat,
				"must be a name such as orders:refund, in lower case, of at most 128 bytes")
		}
	}
	return errs
}

// CheckRoles validates a list of roles. It does not check whether the roles exist.
func CheckRoles(names []string) FieldErrors {
	var errs FieldErrors
	if len(names) > maxRoles {
		errs.Add("/roles", TooMany, fmt.Sprintf("must be at most %d", maxRoles), most(maxRoles))
	}
	return errs
}

// checkRoles validates the roles of a user: each role must be known, and the permissions of all roles must fit into a token.
func checkRoles(names []string, known []access.Role) FieldErrors {
	errs := CheckRoles(names)
	var permissions []string
	for i, name := range names {
		at := slices.IndexFunc(known, func(r access.Role) bool { return r.Name == name })
		if at < 0 {
			errs.Add(fmt.Sprintf("/roles/%d", i), UnknownRole, "is not a role; GET /roles lists them")
			continue
		}
		for _, p := range known[at].Permissions {
			permissions = append(permissions, string(p))
		}
	}
	if size := token.Size(sorted(permissions)); size > token.MaxPermissions {
		errs.Add("/roles", TooLarge, fmt.Sprintf("give permissions of %d bytes, and a token has room for %d", size, token.MaxPermissions),
			most(token.MaxPermissions))
	}
	return errs
}

func permissionBytes(permissions []access.Permission) (size int) {
	for _, p := range permissions {
		size += len(p)
	}
	return size
}

// RolePrecondition reports whether a role may be changed; old is nil if the role does not exist. A nil RolePrecondition allows every
// change.
type RolePrecondition func(old *access.Role) bool

func (p RolePrecondition) check(old *access.Role) error {
	if p == nil || p(old) {
		return nil
	}
	return &Error{Code: PreconditionFailed, Detail: "The role has changed since it was read; read it again and repeat the change."}
}

// Roles returns all roles, sorted by name. Errors: Unavailable.
func (s *Service) Roles(ctx context.Context) ([]access.Role, error) { return s.store.Roles(ctx) }

// PutRole creates or replaces a role. The change takes effect on the next request of each user of the role.
//
// Errors: the errors of a grant, Invalid, PreconditionFailed, BuiltInRole (admin would lose a permission of the service), FactorsDisabled,
// Unavailable.
//
// Invalid can also mean that the permissions of a user with the role would not fit into a token.
func (s *Service) PutRole(ctx context.Context, grant access.Grant, r access.Role, cond RolePrecondition) (access.Role, error) {
	errs := CheckRole(r)
	if !ValidRoleName(r.Name) {
		errs.Add("/name", InvalidFormat, "must be 1 to 64 characters of a-z, 0-9, _, . and -")
	}
	if err := errs.Err(); err != nil {
		return access.Role{}, err
	}
	slices.Sort(r.Permissions)
	r.Permissions = append([]access.Permission{}, slices.Compact(r.Permissions)...)
	return r, s.store.PutRole(ctx, grant, r, fits, func(old *access.Role) error { return s.allowPut(old, r, cond) })
}

// allowPut returns an error if r may not replace old. Errors: PreconditionFailed, BuiltInRole, FactorsDisabled.
func (s *Service) allowPut(old *access.Role, r access.Role, cond RolePrecondition) error {
	if err := cond.check(old); err != nil {
		return err
	}
	if r.Name == access.Admin && !r.HasAll(access.Permissions()) {
		return &Error{Code: BuiltInRole, Detail: "The role admin keeps all permissions of the service; more can be added."}
	}
	if r.SecondFactor && !s.FactorsEnabled() {
		return &Error{Code: FactorsDisabled, Detail: "A role can require a second factor only while second factors are enabled (DATA_KEY)."}
	}
	return nil
}

// fits returns an error if permissions of this size do not fit into a token. A change of a role must not give a user such permissions.
// Errors: Invalid.
func fits(size int) error {
	var errs FieldErrors
	if size > token.MaxPermissions {
		errs.Add("/permissions", TooLarge, fmt.Sprintf("would give a user, with its other roles, permissions of %d bytes, "+
			"and a token has room for %d", size, token.MaxPermissions), most(token.MaxPermissions))
	}
	return errs.Err()
}

// DeleteRole removes a role from its users and deletes it.
//
// Errors: the errors of a grant, NotFound, PreconditionFailed, BuiltInRole, RoleInUse (more than maxHolders users have the role),
// Unavailable.
func (s *Service) DeleteRole(ctx context.Context, grant access.Grant, name string, cond RolePrecondition) error {
	return s.store.DeleteRole(ctx, grant, name, maxHolders,
		func(old *access.Role) error { return allowDelete(old, name, cond) },
		func(old User) (Change, error) { return s.decideWithoutRole(old, name) })
}

// allowDelete returns an error if a role may not be deleted. Errors: PreconditionFailed, BuiltInRole.
func allowDelete(old *access.Role, name string, cond RolePrecondition) error {
	if err := cond.check(old); err != nil {
		return err
	}
	if name == access.Admin || name == access.User {
		return &Error{Code: BuiltInRole, Detail: "The roles admin and user are built in and can't be deleted."}
	}
	return nil
}

func (s *Service) decideWithoutRole(old User, name string) (Change, error) {
	u := old
	u.Roles = slices.DeleteFunc(slices.Clone(old.Roles), func(role string) bool { return role == name })
	return s.changed(old, u, nil, RolesChanged)
}
