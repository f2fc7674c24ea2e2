package access

import (
	"slices"

	"github.com/google/uuid"
)

// Grant is the authorization of a change: a rule, and a caller whom the rule allowed when the request arrived. The caller may lose
// permissions while the change waits or a password is hashed. So the transaction of the change calls Allows again, with the data that the
// transaction reads under its locks (OWASP ASVS 5.0.0, 8.3.2 and 15.4.2). The zero Grant allows nothing.
type Grant struct {
	rule   Rule
	caller Caller
	target uuid.UUID
	roles  []string // the roles of the account that the change creates
}

// Grant returns the grant for a caller to act on the user target. The nil UUID means no particular user. The target of an
// Authenticated rule is the caller.
func (r Rule) Grant(caller Caller, target uuid.UUID) Grant {
	if r.authenticated {
		target = caller.UserID
	}
	return Grant{rule: r, caller: caller, target: target}
}

// Internal returns the grant of a change without a session: by the command line, by the service itself, or by a one-time token.
func Internal(target uuid.UUID) Grant { return Anyone().Grant(Caller{}, target) }

// ForNewAccount returns the grant to create an account with these roles. It also requires RolesAssign for every role except User, and all
// permissions that the roles give.
func (g Grant) ForNewAccount(roles []string) Grant {
	g.roles = roles
	return g
}

// NewRoles returns the roles of the account that the change creates.
func (g Grant) NewRoles() []string { return g.roles }

// Caller returns the caller who requested the change, or the zero Caller for an internal grant.
func (g Grant) Caller() Caller { return g.caller }

// Target returns the user whom the change affects, or the nil UUID.
func (g Grant) Target() uuid.UUID { return g.target }

// Internal reports whether the change is made without a session.
func (g Grant) Internal() bool { return g.rule.Anonymous() }

// Self reports whether the change affects the caller's own account.
func (g Grant) Self() bool { return !g.Internal() && g.caller.Is(g.target) }

// ByPermission reports whether the caller needs a permission for the change. Some changes of the caller's own account need one too.
func (g Grant) ByPermission() bool {
	return !g.Internal() && !g.rule.authenticated && !g.rule.anyCaller && (!g.rule.self || !g.Self())
}

// Allows reports whether the caller may make the change. now is the caller with the current permissions. target has the current roles and
// permissions of the target, or of the account that the change creates.
//
// A caller who creates, changes or erases another account must have all permissions of that account.
// Otherwise a new email and a password reset would give the caller more permissions.
func (g Grant) Allows(now Caller, target Holder) bool {
	if !g.rule.Allows(now, g.target) || g.assigns() && !now.May(RolesAssign) {
		return false
	}
	if g.Self() || !slices.Contains(g.rule.permissions, UsersWrite) && !slices.Contains(g.rule.permissions, UsersDelete) {
		return true
	}
	return now.covers(target)
}

// NeedsFactor reports whether the caller may not make the change, but could make it in a session with a second factor.
func (g Grant) NeedsFactor(now Caller, target Holder) bool {
	return !g.Allows(now, target) && g.Allows(now.withFactor(), target)
}

// assigns reports whether the change gives a new account a role other than User.
func (g Grant) assigns() bool {
	return slices.ContainsFunc(g.roles, func(role string) bool { return role != User })
}

// Holder has roles and their permissions.
type Holder struct {
	Roles       []string
	Permissions []Permission
}

// covers reports whether the caller has all permissions of another user. The role admin covers all permissions, even permissions of
// applications that the role does not list. If the role is withheld, it covers no permissions.
func (c Caller) covers(other Holder) bool {
	if slices.Contains(c.Roles, Admin) && !slices.Contains(c.Withheld.Roles, Admin) {
		return true
	}
	return !slices.Contains(other.Roles, Admin) &&
		!slices.ContainsFunc(other.Permissions, func(p Permission) bool { return !c.May(p) })
}
