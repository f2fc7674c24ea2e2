package user

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Action is an action of the audit trail. Its values are terms of the OWASP Logging Vocabulary Cheat Sheet.
type Action string

// The actions of the audit trail.
const (
	LoginSucceeded       Action = "authn_login_success"
	LoginFailed          Action = "authn_login_fail"
	LoginBlocked         Action = "authn_login_lock" // a failure that begins a backoff
	PasswordChanged      Action = "authn_password_change"
	PasswordChangeFailed Action = "authn_password_change_fail"
	TokenCreated         Action = "authn_token_created" // a one-time token
	TokenRevoked         Action = "authn_token_revoked" // ended sessions
	TokenReused          Action = "authn_token_reuse"   // a used refresh token; its session ended
	TokenRefused         Action = "authn_token_fail"    // an unknown, used or expired refresh token or one-time token
	SessionUsedAfterEnd  Action = "session_use_after_expire"
	RolesChanged         Action = "authz_change"
	PermissionsChanged   Action = "privilege_permissions_changed" // a role was created, changed or deleted
	AccessDenied         Action = "authz_fail"                    // a caller lacked the permission
	UserCreated          Action = "user_created"
	UserCreateFailed     Action = "user_create_fail" // a registration was refused
	UserUpdated          Action = "user_updated"
	UserUpdateFailed     Action = "user_update_fail" // a change of an account was refused
	UserDeleted          Action = "user_deleted"
)

// CLI is the actor of a change that an operator makes with a command.
const CLI = "cli"

// Audit is a new entry of the audit trail. The store takes the actor and the address from the Origin of the context.
type Audit struct {
	Action Action
	UserID uuid.UUID // the user that the entry concerns, or the nil UUID
	Actor  uuid.UUID // the actor, if the Origin has none
	Detail Detail
}

// AuditEvent is an entry of the audit trail.
type AuditEvent struct {
	ID        uuid.UUID  `json:"id"`
	Time      time.Time  `json:"time"`
	Action    Action     `json:"action"`
	ActorID   *uuid.UUID `json:"actor_id,omitempty"`
	Actor     string     `json:"actor,omitempty"` // an actor without an account: CLI or a workload, see WorkloadActor
	UserID    *uuid.UUID `json:"user_id,omitempty"`
	IP        string     `json:"ip,omitempty"`
	RequestID string     `json:"request_id,omitempty"`
	// Detail is the stored Detail as JSON. A newer replica may have stored fields that this replica does not know.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// AuditFilter selects entries of the audit trail. An empty field does not restrict the selection.
type AuditFilter struct {
	Limit  int
	Before uuid.UUID // only entries before the entry with this id
	UserID uuid.NullUUID
	Action Action
}

// AuditPage is a page of the audit trail, newest first.
type AuditPage struct {
	Events []AuditEvent
	More   bool // whether another page follows
}

// AuditEvents returns a page of the audit trail. Errors: Unavailable.
func (s *Service) AuditEvents(ctx context.Context, f AuditFilter) (AuditPage, error) {
	return s.store.AuditEvents(ctx, f)
}

// maxUserAgent is the maximum length of a stored User-Agent.
const maxUserAgent = 256 // bytes

// Origin describes where a request comes from, for the audit trail.
type Origin struct {
	ActorID   uuid.UUID  // the caller; the nil UUID if anonymous
	Actor     string     // a caller without an account: CLI or a workload, see WorkloadActor
	IP        netip.Addr // the zero Addr if unknown
	UserAgent string
	RequestID string
}

type originKey struct{}

// WithOrigin returns a context with an Origin. It removes control, format and invisible characters from the UserAgent, and shortens
// it to maxUserAgent.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	agent := visible(o.UserAgent)
	o.UserAgent = strings.ToValidUTF8(agent[:min(len(agent), maxUserAgent)], "")
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the origin of a context, or the zero Origin.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
