package user

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Action names what was done, in the words of OWASP's Logging Vocabulary Cheat Sheet.
type Action string

// The actions of the audit trail.
const (
	LoginSucceeded       Action = "authn_login_success"
	LoginFailed          Action = "authn_login_fail"
	LoginBlocked         Action = "authn_login_lock" // the failure with which a backoff begins
	PasswordChanged      Action = "authn_password_change"
	PasswordChangeFailed Action = "authn_password_change_fail"
	TokenCreated         Action = "authn_token_created" // a one-time token
	TokenRevoked         Action = "authn_token_revoked" // sessions were ended
	TokenReused          Action = "authn_token_reuse"   // a spent refresh token was shown: its session was ended
	TokenRefused         Action = "authn_token_fail"    // a refresh token or one-time token was shown that is none, or not any more
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

// CLI is the actor of changes that an operator makes on the command line.
const CLI = "cli"

// Audit is an entry to be made in the audit trail. Who did it and from where is in the
// Origin of the context.
type Audit struct {
	Action Action
	UserID uuid.UUID // whom it is about; the nil UUID if no account
	Actor  uuid.UUID // who did it, where the Origin does not know
	Detail Detail
}

// AuditEvent is an entry of the audit trail.
type AuditEvent struct {
	ID        uuid.UUID  `json:"id"`
	Time      time.Time  `json:"time"`
	Action    Action     `json:"action"`
	ActorID   *uuid.UUID `json:"actor_id,omitempty"`
	Actor     string     `json:"actor,omitempty"` // who acted without an account of its own, such as CLI
	UserID    *uuid.UUID `json:"user_id,omitempty"`
	IP        string     `json:"ip,omitempty"`
	RequestID string     `json:"request_id,omitempty"`
	// Detail is a Detail as it was stored. A newer replica may have stored members that this one does not know.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// AuditFilter chooses entries of the audit trail. Empty members choose all.
type AuditFilter struct {
	Limit  int
	Before uuid.UUID // only entries older than the one with this id
	UserID uuid.NullUUID
	Action Action
}

// AuditPage is a part of the audit trail, newest first.
type AuditPage struct {
	Events []AuditEvent
	More   bool // whether another page follows
}

// AuditEvents returns the entries that the filter chooses. Errors: Unavailable.
func (s *Service) AuditEvents(ctx context.Context, f AuditFilter) (AuditPage, error) {
	return s.store.AuditEvents(ctx, f)
}

// maxUserAgent is how much of a User-Agent is kept: enough to know one's devices by it.
const maxUserAgent = 256 // bytes

// Origin says where a request comes from.
type Origin struct {
	ActorID   uuid.UUID  // who asks; the nil UUID if nobody is logged in
	Actor     string     // who asks without an account of its own, such as CLI
	IP        netip.Addr // invalid if there is none
	UserAgent string
	RequestID string
}

type originKey struct{}

// WithOrigin returns a context whose changes are noted in the audit trail as those of o. Of the UserAgent it keeps what
// can be shown in a list.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	agent := visible(o.UserAgent)
	o.UserAgent = strings.ToValidUTF8(agent[:min(len(agent), maxUserAgent)], "")
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the origin of a context, the zero Origin if it has none.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
