package user

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"user-service/pkg/password"
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
	Pointer string         `json:"pointer"` // RFC 6901, such as /email
	Code    FieldCode      `json:"code"`    // for programs, which show messages of their own
	Params  map[string]any `json:"params,omitempty"`
	Detail  string         `json:"detail"` // for people
}

// FieldCode names a kind of rule that a member breaks. The comments name the params.
type FieldCode string

// The kinds of rules. Those of a password are password.Reason.
const (
	Required          FieldCode = "required"
	Unknown           FieldCode = "unknown"
	ReadOnly          FieldCode = "read_only"
	InvalidType       FieldCode = "invalid_type" // expected
	InvalidFormat     FieldCode = "invalid_format"
	InvalidValue      FieldCode = "invalid_value" // allowed
	InvalidCharacters FieldCode = "invalid_characters"
	Invisible         FieldCode = "invisible"
	OutOfRange        FieldCode = "out_of_range"
	TooLong           FieldCode = "too_long"  // max, in characters
	TooLarge          FieldCode = "too_large" // max, in bytes
	TooMany           FieldCode = "too_many"  // max
	UnknownRole       FieldCode = "unknown_role"
)

// Param is a value of FieldError.Params.
type Param struct {
	Name  string
	Value any
}

// most is the param of a rule about the greatest size.
func most(n int) Param { return Param{"max", n} }

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
func (f *FieldErrors) Add(pointer string, code FieldCode, detail string, params ...Param) {
	e := FieldError{Pointer: pointer, Code: code, Detail: detail}
	if len(params) > 0 {
		e.Params = map[string]any{}
	}
	for _, p := range params {
		e.Params[p.Name] = p.Value
	}
	f.Append(e)
}

// Append is Add for an error that is made already.
func (f *FieldErrors) Append(e FieldError) {
	if !f.Full() && !slices.ContainsFunc(*f, func(known FieldError) bool { return known.Pointer == e.Pointer }) {
		*f = append(*f, e)
	}
}

// addPassword notes why a password is refused.
func (f *FieldErrors) addPassword(pointer string, err error) {
	var weak *password.PolicyError
	if !errors.As(err, &weak) {
		f.Add(pointer, InvalidValue, err.Error())
		return
	}
	var params []Param
	for name, value := range weak.Params {
		params = append(params, Param{name, value})
	}
	f.Add(pointer, FieldCode(weak.Reason), weak.Advice, params...)
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
