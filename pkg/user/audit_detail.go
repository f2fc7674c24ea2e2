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
	Purpose        Purpose     `json:"purpose,omitempty"`   // the purpose of a one-time token, RefreshToken or SecondFactorCode
	Reason         Reason      `json:"reason,omitempty"`
	Role           string      `json:"role,omitempty"` // the role that changed
	Change         ChangeKind  `json:"change,omitempty"`
	Added          Permissions `json:"added,omitempty"` // permissions that the role gained
	Removed        Permissions `json:"removed,omitempty"`

	Factor   string    `json:"factor,omitempty"`   // the type of the factor that changed or was used
	FactorID uuid.UUID `json:"factor_id,omitzero"` // the factor that changed or was used
	AMR      []string  `json:"amr,omitempty"`      // the authentication methods of the login

	Route      string `json:"route,omitempty"`      // method and pattern of the path, such as PUT /users/{id}/roles
	Suppressed int    `json:"suppressed,omitempty"` // the number of further denied requests without an entry
}

// Permissions is a list of permissions.
type Permissions = []access.Permission

// Further purposes in the audit trail.
const (
	RefreshToken     Purpose = "refresh"
	SecondFactorCode Purpose = "second_factor" // a login challenge, or a code for it
)

// Reason is the reason for a refusal or a change.
type Reason string

// The reasons in audit entries.
const (
	ReasonEmailTaken      Reason = "email_taken"
	ReasonTooManySessions Reason = "too_many_sessions"
)

// ChangeKind is a kind of change of a role or a factor.
type ChangeKind string

// The kinds of changes in audit entries.
const (
	RoleCreated   ChangeKind = "created"
	RoleUpdated   ChangeKind = "updated"
	RoleDeleted   ChangeKind = "deleted"
	FactorAdded   ChangeKind = "added"
	FactorRemoved ChangeKind = "removed"
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
		old = &access.Role{}
		return roleAudit(r.Name, RoleCreated, *old, r)
	}
	return roleAudit(r.Name, RoleUpdated, *old, r)
}

// RoleRemoved returns the audit entry of a deleted role.
func RoleRemoved(r access.Role) Audit { return roleAudit(r.Name, RoleDeleted, r, access.Role{}) }

func roleAudit(name string, change ChangeKind, before, after access.Role) Audit {
	d := Detail{
		Role: name, Change: change,
		Added: without(after.Permissions, before.Permissions), Removed: without(before.Permissions, after.Permissions),
	}
	if before.SecondFactor != after.SecondFactor {
		d.Changed = []string{"second_factor"}
	}
	return Audit{Action: PermissionsChanged, Detail: d}
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
