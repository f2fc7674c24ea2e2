// Package history checks what clients, consumers and the database observed during a run under faults. The checks are pure
// functions of a recorded history.
package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is an operation of the API.
type Kind string

// The operations that the clients of a run use.
const (
	Register     Kind = "register"
	Login        Kind = "login"
	Refresh      Kind = "refresh"
	Logout       Kind = "logout"
	Read         Kind = "read"
	Patch        Kind = "patch"
	Put          Kind = "put"
	Roles        Kind = "roles"
	Status       Kind = "status"
	Password     Kind = "password"
	RequestReset Kind = "request reset"
	SendReset    Kind = "send reset"
	ConfirmReset Kind = "confirm reset"
	EndSessions  Kind = "end sessions"
	Erase        Kind = "erase"
)

// Outcome is the client's knowledge of the effect of its request.
type Outcome int

// The outcomes of a request.
const (
	Perhaps  Outcome = iota // no response, or a 503: it may be carried out at any time after its start
	Accepted                // 2xx
	Refused                 // another response: it has no effect
)

func (o Outcome) String() string { return [...]string{"perhaps", "accepted", "refused"}[o] }

// Op is a request and its response. Times count from the start of the run.
type Op struct {
	ID         int // Also in the request id and the trace context: it identifies audit entries and events.
	Kind       Kind
	Client     int
	Replica    int
	User       string // The id of the account; empty: a registration without a response.
	Email      string // Of the account.
	Start, End time.Duration
	Outcome    Outcome
	Status     int    // 0: no response.
	RetryAfter bool   // The response has this header.
	Problem    string // The problem of an unsuccessful response, or the reason why there is none.
	HungUp     bool   // The client ended the request.
	// ByPermission means that the administrator sent the request.
	ByPermission bool
	Want         Want
	Told         *User  // The account in the response.
	Session      string // The session that the response opened, or the session of the refresh token.
	Shown, Got   uint64 // The counters of the refresh tokens in the request and in the response.
	GotToken     string // The refresh token in the response.
}

// Want holds the requested values. Empty members are not requested.
type Want struct {
	Name        string
	Locale      string
	Roles       []string
	Status      string
	Password    string // the new password, or the password of a login
	OldPassword string // the current password in a password change
	IfVersion   int    // the version in If-Match
}

func (w Want) String() (s string) {
	for _, member := range []struct{ name, value string }{
		{"name", w.Name},
		{"locale", w.Locale},
		{"roles", strings.Join(w.Roles, "+")},
		{"status", w.Status},
		{"password", w.Password},
		{"instead of", w.OldPassword},
	} {
		if member.value != "" {
			s += fmt.Sprintf(", %s %q", member.name, member.value)
		}
	}
	if w.IfVersion > 0 {
		s += fmt.Sprintf(", if version %d", w.IfVersion)
	}
	return s
}

// User is an account as responses, events and the database show it.
type User struct {
	ID        string   `json:"id"`
	Email     string   `json:"email"`
	Verified  bool     `json:"email_verified"`
	Name      string   `json:"name"`
	Locale    string   `json:"locale"`
	Roles     []string `json:"roles"`
	Status    string   `json:"status"`
	Version   int      `json:"version"`
	UpdatedAt string   `json:"updated_at"`
}

// Equal reports whether two accounts are the same in each member.
func (u User) Equal(v User) bool {
	same := slices.Equal(u.Roles, v.Roles)
	u.Roles, v.Roles = nil, nil
	return same && fmt.Sprint(u) == fmt.Sprint(v)
}

// fits reports whether a state of an account matches a request.
func (w Want) fits(u User) bool {
	return (w.Name == "" || w.Name == u.Name) && (w.Locale == "" || w.Locale == u.Locale) &&
		(w.Status == "" || w.Status == u.Status) && (w.Roles == nil || slices.Equal(w.Roles, u.Roles))
}

// overlaps reports whether the request ran at some time from a to b.
func (o Op) overlaps(a, b time.Duration) bool { return o.Start <= b && o.End >= a }

// runsUntil returns when the service has ended its work on the request. The service sends a reset only after the response. It may also
// continue after the client disconnects.
func (o Op) runsUntil() time.Duration {
	if o.Kind == RequestReset || o.HungUp {
		return o.End + RequestTime
	}
	return o.End
}

// before reports whether the response to the request preceded the start of another one.
func (o Op) before(p Op) bool { return o.End < p.Start }

func (o Op) String() string {
	s := fmt.Sprintf("%7.3f to %7.3f s  op %d, client %d, replica %d: %s",
		o.Start.Seconds(), o.End.Seconds(), o.ID, o.Client, o.Replica, o.Kind)
	if o.User != "" || o.Email != "" {
		s += fmt.Sprintf(" of %s %s", o.User, o.Email)
	}
	s += o.Want.String()
	if o.Session != "" {
		s += fmt.Sprintf(" session %s, token %d to %d", o.Session, o.Shown, o.Got)
	}
	s += fmt.Sprintf(": %s, %d", o.Outcome, o.Status)
	if o.Told != nil {
		s += fmt.Sprintf(", version %d", o.Told.Version)
	}
	if o.HungUp {
		s += ", the client hung up"
	}
	if o.Problem != "" {
		s += fmt.Sprintf(", %.160q", o.Problem)
	}
	return s
}
