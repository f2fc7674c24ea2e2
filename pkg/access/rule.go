package access

import (
	"slices"

	"github.com/google/uuid"
)

// Rule decides which callers may use an endpoint.
type Rule struct {
	anyone        bool
	authenticated bool
	self          bool
	permissions   []Permission // the caller needs all of them
}

// Anyone allows every caller, even without a token.
func Anyone() Rule { return Rule{anyone: true} }

// Authenticated allows every caller with a valid token.
func Authenticated() Rule { return Rule{authenticated: true} }

// SelfOr allows the user whom the request affects, and callers with all the permissions.
func SelfOr(all ...Permission) Rule { return Rule{self: true, permissions: all} }

// Self allows only the user whom the request affects.
func Self() Rule { return Rule{self: true} }

// Only allows callers with the permission.
func Only(p Permission) Rule { return Rule{permissions: []Permission{p}} }

// Anonymous reports whether the rule requires no token.
func (r Rule) Anonymous() bool { return r.anyone }

// Allows reports whether the caller may act on the user target. The nil UUID means no particular user. The result does not depend
// on whether the target exists, so it does not reveal accounts.
func (r Rule) Allows(c Caller, target uuid.UUID) bool {
	switch {
	case r.anyone, r.authenticated:
		return true
	case r.self && c.Is(target):
		return true
	default:
		return len(r.permissions) > 0 && !slices.ContainsFunc(r.permissions, func(p Permission) bool { return p == "" || !c.May(p) })
	}
}
