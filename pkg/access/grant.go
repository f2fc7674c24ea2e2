package access

import (
	"slices"

	"github.com/google/uuid"
)

// Grant is what a change rests on: a rule, and the caller whom it let in when the request
// came. Rights can be lost while a change waits or hashes a password, so the
// transaction of the change asks Allows again, with what it reads under its locks
// (OWASP ASVS 5.0.0, 8.3.2 and 15.4.2). The zero Grant allows nothing.
type Grant struct {
	rule   Rule
	caller Caller
	target uuid.UUID
}

// Grant returns the grant of a caller to act on the user target by the rule; the nil UUID
// stands for no user in particular. What every caller may do is about the caller's own account.
func (r Rule) Grant(caller Caller, target uuid.UUID) Grant {
	if r.everybody {
		target = caller.UserID
	}
	return Grant{rule: r, caller: caller, target: target}
}

// Internal returns the grant of a change that no session stands behind: the command line,
// the service itself, and a one-time token, which is its own proof.
func Internal(target uuid.UUID) Grant { return Anyone().Grant(Caller{}, target) }

// Caller returns who asked for the change; the zero Caller if the grant is internal.
func (g Grant) Caller() Caller { return g.caller }

// Target returns the user whom the change is about; the nil UUID if it is about none.
func (g Grant) Target() uuid.UUID { return g.target }

// Internal reports whether no session stands behind the change.
func (g Grant) Internal() bool { return g.rule.Anonymous() }

// Self reports whether the caller acts on its own account.
func (g Grant) Self() bool { return !g.Internal() && g.caller.Is(g.target) }

// ByPermission reports whether the change rests on a permission of the caller, which may act on its own account too.
func (g Grant) ByPermission() bool {
	return !g.Internal() && !g.rule.everybody && (!g.rule.self || !g.Self())
}

// Allows decides whether the caller, as it is now, may still make the change, when the
// target has these roles and permissions.
//
// A caller who changes or erases another account must have all permissions of that account.
// Otherwise a new email and a password reset would give the caller the rest of them.
func (g Grant) Allows(now Caller, target Holder) bool {
	if !g.rule.Allows(now, g.target) {
		return false
	}
	if g.Self() || g.rule.permission != UsersWrite && g.rule.permission != UsersDelete {
		return true
	}
	return now.covers(target)
}

// Holder is somebody who has roles, and the permissions that they give.
type Holder struct {
	Roles       []string
	Permissions []Permission
}

// covers reports whether the caller has all permissions of another. The role admin has all
// permissions that exist, those of applications too, although it does not list them.
func (c Caller) covers(other Holder) bool {
	if slices.Contains(c.Roles, Admin) {
		return true
	}
	return !slices.Contains(other.Roles, Admin) &&
		!slices.ContainsFunc(other.Permissions, func(p Permission) bool { return !c.May(p) })
}
