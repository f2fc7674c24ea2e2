package user

import (
	"fmt"
	"slices"
	"time"
)

// Code names a kind of failure. The API's problem types are made of it.
type Code string

// The kinds of failure that callers can tell apart.
const (
	Invalid                  Code = "validation-failed"
	InvalidCredentials       Code = "invalid-credentials"
	InvalidAccessToken       Code = "invalid-access-token"
	InvalidRefreshToken      Code = "invalid-refresh-token"
	InvalidToken             Code = "invalid-token"
	ReauthenticationRequired Code = "reauthentication-required"
	Forbidden                Code = "forbidden"
	RegistrationDisabled     Code = "registration-disabled"
	NotFound                 Code = "not-found"
	EmailTaken               Code = "email-taken"
	LastAdmin                Code = "last-admin"
	BuiltInRole              Code = "built-in-role"
	RoleInUse                Code = "role-in-use"
	PreconditionFailed       Code = "precondition-failed"
	TooManyRequests          Code = "too-many-requests"
	Overloaded               Code = "overloaded"
	Unavailable              Code = "unavailable"
)

// Error is a failure with a meaning to the caller. Any other error is the service's own fault.
type Error struct {
	Code       Code
	Detail     string        // for people: what is wrong and what to do; never says whether an account exists
	Fields     []FieldError  // for Invalid: everything that is wrong
	RetryAfter time.Duration // for TooManyRequests, Overloaded and Unavailable
	Limit      *Limit        // for TooManyRequests: the limit that was met
	Err        error         // the cause, for the log only
}

// Limit is how often something may be tried.
type Limit struct {
	Policy string // its name
	Quota  int    // so many attempts …
	Window time.Duration
}

// FieldError is what is wrong with one member of the input.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, such as /email
	Detail  string `json:"detail"`
}

// Error implements error.
func (e *Error) Error() string {
	msg := string(e.Code)
	if e.Detail != "" {
		msg += ": " + e.Detail
	}
	for _, f := range e.Fields {
		msg += fmt.Sprintf("; %s %s", f.Pointer, f.Detail)
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// FieldErrors collects all that is wrong with an input, up to maxFieldErrors.
type FieldErrors []FieldError

// maxFieldErrors is how many are told at once. A hostile body has thousands, and each is looked for among those
// before it.
const maxFieldErrors = 100

// Full reports whether no more errors are taken.
func (f FieldErrors) Full() bool { return len(f) >= maxFieldErrors }

// Add notes that the member at pointer is wrong, unless something is known of it already.
func (f *FieldErrors) Add(pointer, detail string) {
	if !f.Full() && !slices.ContainsFunc(*f, func(e FieldError) bool { return e.Pointer == pointer }) {
		*f = append(*f, FieldError{Pointer: pointer, Detail: detail})
	}
}

// Err returns nil if nothing is wrong, else an Invalid error that lists it all by pointer.
func (f FieldErrors) Err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b FieldError) int {
		if a.Pointer < b.Pointer {
			return -1
		}
		return 1
	})
	return &Error{Code: Invalid, Detail: "Some members of the request break a rule; each is named in errors.", Fields: f}
}
