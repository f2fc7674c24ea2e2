package user

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

// Detail is the detail of an audit entry. Its fields are names that the service or an administrator has chosen, ids and counts.
// They contain no personal data and no text that a user has written.
type Detail struct {
	Changed        []string    `json:"changed,omitempty"` // names of fields
	From           []string    `json:"from,omitzero"`     // the old roles
	To             []string    `json:"to,omitzero"`       // the new roles
	Roles          []string    `json:"roles,omitzero"`    // the roles of a new user
	Status         Status      `json:"status,omitempty"`  // the new status; empty for a new active user
	PreviousStatus Status      `json:"previous_status,omitempty"`
	SessionID      uuid.UUID   `json:"session_id,omitzero"` // the session that was opened, ended or used
	Sessions       int64       `json:"sessions,omitempty"`  // the number of ended sessions; see Change.EndSessions
	Purpose        Purpose     `json:"purpose,omitempty"`   // the purpose of a one-time token, or RefreshToken
	Reason         Reason      `json:"reason,omitempty"`
	Role           string      `json:"role,omitempty"` // the role that changed
	Change         RoleChange  `json:"change,omitempty"`
	Added          Permissions `json:"added,omitempty"` // permissions that the role gained
	Removed        Permissions `json:"removed,omitempty"`
	Route          string      `json:"route,omitempty"`      // method and pattern of the path, such as PUT /users/{id}/roles
	Suppressed     int         `json:"suppressed,omitempty"` // the number of further denied requests without an entry
}

// Permissions is a list of permissions.
type Permissions = []access.Permission

// RefreshToken is the Purpose of a refresh token in the audit trail.
const RefreshToken Purpose = "refresh"

// Reason is the reason for a refusal or a change.
type Reason string

// The reasons.
const (
	ReasonEmailTaken      Reason = "email_taken"
	ReasonTooManySessions Reason = "too_many_sessions"
)

// RoleChange is a kind of change of a role.
type RoleChange string

// The kinds of changes of a role.
const (
	RoleCreated RoleChange = "created"
	RoleUpdated RoleChange = "updated"
	RoleDeleted RoleChange = "deleted"
)

// Created returns the audit entry of a new account.
func Created(u User) Audit {
	d := Detail{Roles: append([]string{}, u.Roles...)}
	if u.Status != Active {
		d.Status = u.Status
	}
	return Audit{Action: UserCreated, UserID: u.ID, Detail: d}
}

// changeDetail returns the detail of a change from old to u. changed are the names of the changed fields.
func changeDetail(old, u User, changed []string) Detail {
	d := Detail{Changed: changed}
	if !slices.Equal(old.Roles, u.Roles) {
		d.From, d.To = append([]string{}, old.Roles...), append([]string{}, u.Roles...)
	}
	if old.Status != u.Status {
		d.PreviousStatus, d.Status = old.Status, u.Status
	}
	return d
}

// RoleStored returns the audit entry of a role that was created (old is nil) or replaced.
func RoleStored(old *access.Role, r access.Role) Audit {
	if old == nil {
		return roleAudit(r.Name, RoleCreated, nil, r.Permissions)
	}
	return roleAudit(r.Name, RoleUpdated, old.Permissions, r.Permissions)
}

// RoleRemoved returns the audit entry of a deleted role.
func RoleRemoved(r access.Role) Audit { return roleAudit(r.Name, RoleDeleted, r.Permissions, nil) }

func roleAudit(name string, change RoleChange, before, after Permissions) Audit {
	return Audit{Action: PermissionsChanged, Detail: Detail{
		Role: name, Change: change, Added: without(after, before), Removed: without(before, after),
	}}
}

// without returns the permissions of list that are not in other.
func without(list, other Permissions) Permissions {
	return slices.DeleteFunc(slices.Clone(list), func(p access.Permission) bool { return slices.Contains(other, p) })
}

// Denial is a request of an authenticated caller who lacked a permission.
type Denial struct {
	Route      string    // method and pattern of the path
	Target     uuid.UUID // the user in the path, or the nil UUID
	Suppressed int       // the number of further denials without an entry
}

// RecordDenial adds a denial to the audit trail. It omits a target that does not exist.
// Errors: Unavailable.
func (s *Service) RecordDenial(ctx context.Context, d Denial) error {
	return s.store.RecordAudit(ctx, Audit{
		Action: AccessDenied, UserID: d.Target, Detail: Detail{Route: d.Route, Suppressed: d.Suppressed},
	})
}

// refuseTaken records an EmailTaken error in the audit trail, so that attempts to enumerate emails are visible. It returns err.
func (s *Service) refuseTaken(ctx context.Context, action Action, id uuid.UUID, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Code != EmailTaken {
		return err
	}
	return s.recordRefusal(ctx, Audit{Action: action, UserID: id, Detail: Detail{Reason: ReasonEmailTaken}}, err)
}
