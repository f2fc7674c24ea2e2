package access

import (
	"slices"

	"github.com/google/uuid"
)

// Rule decides which callers may use an endpoint.
type Rule struct {
	anyone        bool
	anyCaller     bool
	authenticated bool
	self          bool
	permissions   []Permission // the caller needs all of them
}

// Anyone allows every caller, even without a token.
func Anyone() Rule { return Rule{anyone: true} }

// AnyCaller allows every user and every workload with a valid token.
func AnyCaller() Rule { return Rule{anyCaller: true} }

// Authenticated allows every user with a valid token, for the user's own account. It does not allow workloads.
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
	case r.anyone, r.anyCaller:
		return true
	case r.authenticated:
		return c.Workload == ""
	case r.self && c.Is(target):
		return true
	default:
		return len(r.permissions) > 0 && !slices.ContainsFunc(r.permissions, func(p Permission) bool { return p == "" || !c.May(p) })
	}
}

// NeedsFactor reports whether the rule refuses the caller, but would allow the caller in a session with a second factor.
func (r Rule) NeedsFactor(c Caller, target uuid.UUID) bool {
	return !r.Allows(c, target) && r.Allows(c.withFactor(), target)
}
