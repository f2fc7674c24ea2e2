// Package user defines accounts and their rules. It is independent of SQL, HTTP and AMQP.
package user

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/password"
)

// Status is the status of an account.
type Status string

// The statuses of an account.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Valid reports whether s is a known status.
func (s Status) Valid() bool { return s == Active || s == Disabled }

// User is an account as the API and the events show it. Its fields have the names of OpenID Connect Core 1.0 section 5.1 where these exist.
type User struct {
	ID            uuid.UUID `json:"id"`
	Email         string    `json:"email"` // as it was given; unique by EmailKey
	EmailVerified bool      `json:"email_verified"`
	Profile
	Roles     []string  `json:"roles"` // sorted
	Status    Status    `json:"status"`
	Version   int64     `json:"version"` // increases by one with each change
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Identity is an authenticated caller with their permissions and their account.
type Identity struct {
	access.Caller
	User     User
	AuthTime time.Time // when the user logged in
	AMR      []string  // the authentication methods of the login (RFC 8176)
}

// Session is a session of a user.
type Session struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Counter   uint64 // the number of the current refresh token
	CreatedAt time.Time
	AuthTime  time.Time // when the user logged in; zero: at CreatedAt
	RotatedAt time.Time // when the current refresh token was issued
	ExpiresAt time.Time
	UserAgent string // the user agent of the last login or refresh
	IP        netip.Addr
	AMR       []string // the authentication methods of the login (RFC 8176)
}

// Credential is the password of an account.
type Credential struct {
	UserID       uuid.UUID
	Email        string
	PasswordHash string // PHC string; empty: the account has no password
	Imported     bool   // the hash was computed by another system
	ChangedAt    time.Time
	Status       Status

	number uint64 // see password.Stored
}

// HashCost is the number of imported accounts whose hashes have one cost. The HashCost without a cost counts all other accounts.
type HashCost = password.Count

// Filter selects users. An empty field does not restrict the selection.
type Filter struct {
	Limit  int
	After  uuid.UUID // only users with an id above this one
	Email  string    // compared by EmailKey
	Prefix string    // the beginning of the email or the name, case-insensitive
	Role   string
	Status Status
}

// Page is a page of users.
type Page struct {
	Users []User
	More  bool // whether another page follows
}
