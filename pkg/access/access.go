// Package access defines roles and permissions, and decides whether a caller may do an action.
package access

import (
	"slices"

	"github.com/google/uuid"
)

// Permission allows one kind of action that is not limited to the caller's own account. An application may add its own permissions to
// roles. The service does not use the permissions of applications, but includes them in tokens.
type Permission string

// The permissions that the service uses.
const (
	UsersRead   Permission = "users:read"   // Read any account.
	UsersWrite  Permission = "users:write"  // Change any account, its status and sessions.
	UsersDelete Permission = "users:delete" // Erase any account.
	RolesRead   Permission = "roles:read"   // Read the roles.
	RolesWrite  Permission = "roles:write"  // Change the roles.
	RolesAssign Permission = "roles:assign" // Change a user's roles.
	AuditRead   Permission = "audit:read"   // Read the audit trail.

	TokensIntrospect Permission = "tokens:introspect" // Ask whether a token is active.
)

// Permissions returns the permissions that the service uses, sorted.
func Permissions() []Permission {
	return []Permission{AuditRead, RolesAssign, RolesRead, RolesWrite, TokensIntrospect, UsersDelete, UsersRead, UsersWrite}
}

// The built-in roles.
const (
	Admin = "admin" // has every permission of the service
	User  = "user"  // the role of a new account; has no permissions
)

// Role is a named set of permissions.
type Role struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Permissions []Permission `json:"permissions"`
	// SecondFactor means that the permissions count only in sessions with a second factor.
	SecondFactor bool `json:"second_factor"`
}

// HasAll reports whether the role has all of these permissions.
func (r Role) HasAll(permissions []Permission) bool {
	return !slices.ContainsFunc(permissions, func(p Permission) bool { return !slices.Contains(r.Permissions, p) })
}

// Caller is the user or the workload that makes a request, with the current roles, and with the permissions that count in the session.
type Caller struct {
	UserID      uuid.UUID // the nil UUID for a workload
	SessionID   uuid.UUID
	Workload    string // the sub of a workload; empty for a user
	Roles       []string
	Permissions []Permission
	// Withheld are the roles and permissions that would count in a session with a second factor.
	Withheld Holder
}

// Is reports whether the caller is the user with this id. A workload is not a user.
func (c Caller) Is(id uuid.UUID) bool { return c.Workload == "" && c.UserID == id }

// Known reports whether the caller is authenticated.
func (c Caller) Known() bool { return c.Workload != "" || c.UserID != uuid.Nil }

// May reports whether the caller has the permission.
func (c Caller) May(p Permission) bool { return slices.Contains(c.Permissions, p) }

// withFactor returns the caller with the permissions of a session with a second factor. A workload has no such session.
func (c Caller) withFactor() Caller {
	if c.Workload != "" {
		return c
	}
	c.Permissions = slices.Concat(c.Permissions, c.Withheld.Permissions)
	c.Withheld = Holder{}
	return c
}
