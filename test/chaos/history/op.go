// Package history checks what clients, consumers and the database saw of a run under faults. All of it are values: what is
// checked was collected before, and the checks are pure functions.
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

// Outcome is what a client knows about the effect of its request.
type Outcome int

// The outcomes of a request.
const (
	Perhaps  Outcome = iota // no answer, or a 503: it may have been carried out, at any time from its start on
	Accepted                // 2xx
	Refused                 // another answer: it has no effect
)

func (o Outcome) String() string { return [...]string{"perhaps", "accepted", "refused"}[o] }

// Op is one request and its answer. Times count from the start of the run.
type Op struct {
	ID         int // also in the request id and the trace context, so that audit entries and events name it
	Kind       Kind
	Client     int
	Replica    int
	User       string // the id of the account; empty for a registration without an answer
	Email      string // of the account
	Start, End time.Duration
	Outcome    Outcome
	Status     int    // 0: no answer
	RetryAfter bool   // the answer has this header
	Problem    string // what an answer other than 2xx says, or why there was none
	HungUp     bool   // the client ended the request itself
	Want       Want
	Told       *User  // the account that the answer shows
	Session    string // that the answer opened, or of the refresh token
	Shown, Got uint64 // the counters of the refresh token that was sent and of the one in the answer
	GotToken   string // the refresh token in the answer
}

// Want is what a request asks for. Empty members are not asked for.
type Want struct {
	Name        string
	Locale      string
	Roles       []string
	Status      string
	Password    string // the one that is set, or that a login shows
	OldPassword string // the current one, which a change of the password shows
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

// User is an account as answers, events and the database show it.
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

// fits reports whether a state of an account is what a request asked for.
func (w Want) fits(u User) bool {
	return (w.Name == "" || w.Name == u.Name) && (w.Locale == "" || w.Locale == u.Locale) &&
		(w.Status == "" || w.Status == u.Status) && (w.Roles == nil || slices.Equal(w.Roles, u.Roles))
}

// overlaps reports whether the request was under way at some time from a to b.
func (o Op) overlaps(a, b time.Duration) bool { return o.Start <= b && o.End >= a }

// before reports whether the request was answered before another one was sent.
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
