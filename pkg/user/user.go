// Package user says what an account is and the rules of its life. It knows no SQL,
// no HTTP and no AMQP.
package user

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/password"
)

// Status says whether an account can be used.
type Status string

// The states of an account.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Valid reports whether s is one of the states.
func (s Status) Valid() bool { return s == Active || s == Disabled }

// User is an account as its owner, the API and the events show it. The names of its
// members are the standard claims of OpenID Connect Core 1.0 section 5.1 where one exists.
type User struct {
	ID            uuid.UUID `json:"id"`
	Email         string    `json:"email"` // as it was given; unique whatever its case
	EmailVerified bool      `json:"email_verified"`
	Profile
	Roles     []string  `json:"roles"` // sorted
	Status    Status    `json:"status"`
	Version   int64     `json:"version"` // rises by one with each change
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Identity is who makes a request: the caller's rights, and its own account, as both
// are at this moment.
type Identity struct {
	access.Caller
	User     User
	AuthTime time.Time // when the user logged in
}

// Session is one login of a user, kept alive by refresh tokens.
type Session struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Counter   uint64    // which refresh token is the living one
	CreatedAt time.Time // when the user logged in
	RotatedAt time.Time // when the living refresh token was made
	ExpiresAt time.Time // after this moment the session is over
	UserAgent string    // of the last login or refresh
	IP        netip.Addr
}

// Credential is what a login is checked against.
type Credential struct {
	UserID       uuid.UUID
	Email        string
	PasswordHash string // PHC string
	Imported     bool   // the hash was made elsewhere
	ChangedAt    time.Time
	Status       Status

	number uint64 // see password.Stored
}

// HashCost is how many imported accounts have password hashes of a cost; without costs, how many other accounts there are.
type HashCost = password.Count

// Filter chooses users for a list. Empty members choose all.
type Filter struct {
	Limit  int       // at most so many
	After  uuid.UUID // only users whose id sorts after this one
	Email  string    // exactly this email, whatever its case
	Prefix string    // email or name begins so, whatever its case
	Role   string    // has this role
	Status Status
}

// Page is a part of a list.
type Page struct {
	Users []User
	More  bool // whether another page follows
}
