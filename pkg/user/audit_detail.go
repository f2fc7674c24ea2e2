package user

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

// Detail is what an entry of the audit trail tells beside who, whom and when. Its members are names that the service or
// an administrator has given, ids and counts: nothing that a user has written, and no personal data.
type Detail struct {
	Changed        []string    `json:"changed,omitempty"` // members of the user that changed
	From           []string    `json:"from,omitzero"`     // roles of the user before …
	To             []string    `json:"to,omitzero"`       // … and after
	Roles          []string    `json:"roles,omitzero"`    // roles of a new user
	Status         Status      `json:"status,omitempty"`  // of the user from now on; of a new one only if it is not active
	PreviousStatus Status      `json:"previous_status,omitempty"`
	SessionID      uuid.UUID   `json:"session_id,omitzero"` // the session that was opened, ended or used
	Sessions       int64       `json:"sessions,omitempty"`  // how many living sessions were ended; see Change.EndSessions
	Purpose        Purpose     `json:"purpose,omitempty"`   // of a one-time token, or RefreshToken
	Reason         Reason      `json:"reason,omitempty"`
	Role           string      `json:"role,omitempty"` // the role that changed
	Change         RoleChange  `json:"change,omitempty"`
	Added          Permissions `json:"added,omitempty"` // permissions that the role gained …
	Removed        Permissions `json:"removed,omitempty"`
	Route          string      `json:"route,omitempty"`      // method and pattern of the path, such as PUT /users/{id}/roles
	Suppressed     int         `json:"suppressed,omitempty"` // how many more denied requests have no entry
}

// Permissions is a list of permissions.
type Permissions = []access.Permission

// RefreshToken stands for a refresh token where a Purpose names a token.
const RefreshToken Purpose = "refresh"

// Reason says why something was refused or done.
type Reason string

// The reasons.
const (
	ReasonEmailTaken      Reason = "email_taken"
	ReasonTooManySessions Reason = "too_many_sessions"
)

// RoleChange is what happened to a role.
type RoleChange string

// What can happen to a role.
const (
	RoleCreated RoleChange = "created"
	RoleUpdated RoleChange = "updated"
	RoleDeleted RoleChange = "deleted"
)

// Created returns the entry about a new account.
func Created(u User) Audit {
	d := Detail{Roles: append([]string{}, u.Roles...)}
	if u.Status != Active {
		d.Status = u.Status
	}
	return Audit{Action: UserCreated, UserID: u.ID, Detail: d}
}

// changeDetail tells what a change from old to u was, of which changed are the names.
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

// RoleStored returns the entry about a role that was stored in place of old, which is nil if there was none.
func RoleStored(old *access.Role, r access.Role) Audit {
	if old == nil {
		return roleAudit(r.Name, RoleCreated, nil, r.Permissions)
	}
	return roleAudit(r.Name, RoleUpdated, old.Permissions, r.Permissions)
}

// RoleRemoved returns the entry about a role that was deleted.
func RoleRemoved(r access.Role) Audit { return roleAudit(r.Name, RoleDeleted, r.Permissions, nil) }

func roleAudit(name string, change RoleChange, before, after Permissions) Audit {
	return Audit{Action: PermissionsChanged, Detail: Detail{
		Role: name, Change: change, Added: without(after, before), Removed: without(before, after),
	}}
}

// without returns what is in list and not in other.
func without(list, other Permissions) Permissions {
	return slices.DeleteFunc(slices.Clone(list), func(p access.Permission) bool { return slices.Contains(other, p) })
}

// Denial is a request of a known caller that was denied for lack of a permission.
type Denial struct {
	Route      string    // method and pattern of the path
	Target     uuid.UUID // the user that the path names; the nil UUID if it names none
	Suppressed int       // how many more denials have no entry
}

// RecordDenial makes an entry about a denial in the audit trail. A target without an account is left out.
// Errors: Unavailable.
func (s *Service) RecordDenial(ctx context.Context, d Denial) error {
	return s.store.RecordAudit(ctx, Audit{
		Action: AccessDenied, UserID: d.Target, Detail: Detail{Route: d.Route, Suppressed: d.Suppressed},
	})
}

// refuseTaken records that an email was refused because another account has it, if err says so, and returns err. So
// nobody tries out unseen which emails have an account.
func (s *Service) refuseTaken(ctx context.Context, action Action, id uuid.UUID, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Code != EmailTaken {
		return err
	}
	return s.recordRefusal(ctx, Audit{Action: action, UserID: id, Detail: Detail{Reason: ReasonEmailTaken}}, err)
}
