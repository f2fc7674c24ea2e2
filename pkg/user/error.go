package user

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"user-service/pkg/password"
)

// Code is a kind of error. The problem types of the API are derived from it.
type Code string

// All codes of errors.
const (
	Invalid                  Code = "validation-failed"
	InvalidCredentials       Code = "invalid-credentials"
	InvalidAccessToken       Code = "invalid-access-token"
	InvalidRefreshToken      Code = "invalid-refresh-token"
	InvalidToken             Code = "invalid-token"
	InvalidChallenge         Code = "invalid-challenge"
	InvalidCode              Code = "invalid-code"
	SecondFactorRequired     Code = "second-factor-required"
	ReauthenticationRequired Code = "reauthentication-required"
	Forbidden                Code = "forbidden"
	RegistrationDisabled     Code = "registration-disabled"
	NotFound                 Code = "not-found"
	EmailTaken               Code = "email-taken"
	PasswordSet              Code = "password-set"
	KeyInUse                 Code = "idempotency-key-in-use"
	KeyReused                Code = "idempotency-key-reused"
	LastAdmin                Code = "last-admin"
	BuiltInRole              Code = "built-in-role"
	RoleInUse                Code = "role-in-use"
	FactorsDisabled          Code = "second-factors-disabled"
	PreconditionFailed       Code = "precondition-failed"
	TooManyRequests          Code = "too-many-requests"
	Overloaded               Code = "overloaded"
	Unavailable              Code = "unavailable"
)

// Error is an error on which the caller can act. Any other error is a fault of the service.
type Error struct {
	Code Code
	// Detail explains to people what is wrong and what to do. It never reveals whether an account exists.
	Detail     string
	Fields     []FieldError  // for Invalid: all errors
	RetryAfter time.Duration // for TooManyRequests, KeyInUse, Overloaded and Unavailable
	Limit      *Limit        // for TooManyRequests: the exceeded limit
	// SecondFactor describes the second step of the login, for SecondFactorRequired.
	SecondFactor *SecondFactor
	Err          error // the cause, only for the log
}

// Limit is a quota.
type Limit struct {
	Policy string // the name of the quota
	Quota  int    // the number of attempts in the window
	Window time.Duration
}

// FieldError is an error in one field of the input.
type FieldError struct {
	Pointer string         `json:"pointer"` // RFC 6901, such as /email
	Code    FieldCode      `json:"code"`    // for programs that show their own messages
	Params  map[string]any `json:"params,omitempty"`
	Detail  string         `json:"detail"` // for people
}

// FieldCode names the kind of rule that a member breaks. The comments below name the Params of each kind.
type FieldCode string

// The kinds of rules. The rules for a password have the codes of password.Reason.
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
	Breached          FieldCode = "breached"  // the password is in a known data breach
	Incorrect         FieldCode = "incorrect" // a code that is wrong or has expired
)

// Param is a value of FieldError.Params.
type Param struct {
	Name  string
	Value any
}

// most returns the parameter of a rule about a maximum.
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

// FieldErrors collects the errors of an input, up to maxFieldErrors.
type FieldErrors []FieldError

// maxFieldErrors is the maximum number of errors in a response. A hostile body can cause thousands of errors, and Append compares each
// error with all earlier ones.
const maxFieldErrors = 100

// Full reports whether Add ignores further errors.
func (f FieldErrors) Full() bool { return len(f) >= maxFieldErrors }

// Add adds an error of the field at pointer, unless the field already has one.
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

// Append adds an error, unless its field already has one.
func (f *FieldErrors) Append(e FieldError) {
	if !f.Full() && !slices.ContainsFunc(*f, func(known FieldError) bool { return known.Pointer == e.Pointer }) {
		*f = append(*f, e)
	}
}

// addPassword adds the reason why a password is refused.
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

// Err returns nil if there are no errors, and otherwise an Invalid error that lists them sorted by pointer.
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
