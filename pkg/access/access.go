// Package access holds roles and permissions, and decides who may do what to whom.
package access

import (
	"slices"

	"github.com/google/uuid"
)

// Permission allows one kind of action on accounts that are not the caller's own.
// An application may add permissions of its own to roles; the service carries them
// in tokens and gives them no meaning.
type Permission string

// The permissions that the service itself asks for.
const (
	UsersRead   Permission = "users:read"   // see any account
	UsersWrite  Permission = "users:write"  // change any account, its status and sessions
	UsersDelete Permission = "users:delete" // erase any account
	RolesRead   Permission = "roles:read"   // see the roles
	RolesWrite  Permission = "roles:write"  // change the roles
	RolesAssign Permission = "roles:assign" // give and take roles
	AuditRead   Permission = "audit:read"   // read the audit trail
)

// Permissions lists the permissions that the service itself asks for, sorted.
func Permissions() []Permission {
	return []Permission{AuditRead, RolesAssign, RolesRead, RolesWrite, UsersDelete, UsersRead, UsersWrite}
}

// The built-in roles.
const (
	Admin = "admin" // has every permission of the service
	User  = "user"  // what a new account has: nothing but itself
)

// Role is a named set of permissions.
type Role struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Permissions []Permission `json:"permissions"`
}

// HasAll reports whether the role has all of these permissions.
func (r Role) HasAll(permissions []Permission) bool {
	return !slices.ContainsFunc(permissions, func(p Permission) bool { return !slices.Contains(r.Permissions, p) })
}

// Caller is who makes a request, with what it may do at this moment.
type Caller struct {
	UserID      uuid.UUID
	SessionID   uuid.UUID
	Roles       []string
	Permissions []Permission
}

// Is reports whether the caller is the user with this id.
func (c Caller) Is(id uuid.UUID) bool { return c.UserID == id }

// May reports whether the caller has the permission.
func (c Caller) May(p Permission) bool { return slices.Contains(c.Permissions, p) }
