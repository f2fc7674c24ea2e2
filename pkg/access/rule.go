package access

import "github.com/google/uuid"

// Rule says who may use an endpoint.
type Rule struct {
	anyone     bool
	everybody  bool
	self       bool
	permission Permission
}

// Anyone lets everybody in, without a token.
func Anyone() Rule { return Rule{anyone: true} }

// Authenticated lets everybody in who shows a good token.
func Authenticated() Rule { return Rule{everybody: true} }

// SelfOr lets in the user whom the request is about, and whoever has the permission.
func SelfOr(p Permission) Rule { return Rule{self: true, permission: p} }

// Self lets in the user whom the request is about, and nobody else.
func Self() Rule { return Rule{self: true} }

// Only lets in whoever has the permission.
func Only(p Permission) Rule { return Rule{permission: p} }

// Anonymous reports whether the rule asks for no token.
func (r Rule) Anonymous() bool { return r.anyone }

// Allows decides whether the caller may act on the user target, which is the nil
// UUID where a request is about no user in particular. The target need not exist:
// the answer is the same, so that it tells nothing about who has an account.
func (r Rule) Allows(c Caller, target uuid.UUID) bool {
	switch {
	case r.anyone, r.everybody:
		return true
	case r.self && c.Is(target):
		return true
	default:
		return r.permission != "" && c.May(r.permission)
	}
}
