package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"user-service/pkg/user"
)

// field is a member of a JSON line, or a column of CSV.
type field struct {
	in   func(*user.Import) any // returns a pointer to the value
	kind kind
}

// fields maps names to the fields of an imported account.
var fields = func() map[string]field {
	all := map[string]field{
		"id":             {func(a *user.Import) any { return (*strictUUID)(&a.ID) }, kindID},
		"email":          {func(a *user.Import) any { return &a.Email }, kindText},
		"email_verified": {func(a *user.Import) any { return &a.EmailVerified }, kindBool},
		"password_hash":  {func(a *user.Import) any { return &a.PasswordHash }, kindText},
		"roles":          {func(a *user.Import) any { return &a.Roles }, kindList},
		"status":         {func(a *user.Import) any { return (*string)(&a.Status) }, kindText},
		"created_at":     {func(a *user.Import) any { return &a.CreatedAt }, kindTime},
	}
	for _, f := range user.ProfileFields {
		of := field{func(a *user.Import) any { return f.In(&a.Profile) }, kindText}
		if _, isObject := of.in(&user.Import{}).(*json.RawMessage); isObject {
			of.kind = kindObject
		}
		all[f.Name] = of
	}
	return all
}()

// FieldNames returns the names of the fields that an account may have, sorted.
func FieldNames() []string { return slices.Sorted(maps.Keys(fields)) }

// kind is the type of a field.
type kind string

// The kinds, as errors describe them.
const (
	kindText   kind = "must be a string"
	kindBool   kind = "must be true or false"
	kindTime   kind = "must be a time with its zone as RFC 3339 writes it, such as 2021-03-04T05:06:07Z"
	kindList   kind = "must be a list of names"
	kindObject kind = "must be a JSON object"
	kindID     kind = "must be a UUID such as 0198c0de-1a2b-7c3d-8e4f-5a6b7c8d9e0f, and not all zeros"
)

// account returns the account of a record, and an error for each unknown member and each value of the wrong type. It ignores members with
// the value null.
func (r record) account() (user.Import, user.FieldErrors) {
	var a user.Import
	var errs user.FieldErrors
	for name, value := range r.members {
		f, known := fields[name]
		if !known {
			errs.Add(cmp.Or(plain(name), "a member"), user.Unknown, "is not known; see user-service users import --help")
			continue
		}
		if value.Kind() == 'n' {
			continue
		}
		if object, ok := f.in(&a).(*json.RawMessage); ok {
			*object = readObject("/"+name, value, &errs)
		} else if jsonv2.Unmarshal(value, f.in(&a)) != nil {
			errs.Add("/"+name, user.InvalidType, string(f.kind))
		}
	}
	return a, errs
}

// readObject returns a JSON object in compact form. If the value is invalid, it adds an error and returns nil.
func readObject(pointer string, value jsontext.Value, errs *user.FieldErrors) json.RawMessage {
	hasNUL := false
	err := user.ScanJSON(jsontext.NewDecoder(bytes.NewReader(value)), func() { hasNUL = true })
	object, ok := user.CompactObject(value)
	switch {
	case !ok, err != nil && !errors.Is(err, user.ErrNesting):
		errs.Add(pointer, user.InvalidType, string(kindObject))
	case err != nil:
		errs.Add(pointer, user.InvalidFormat, "is nested too deeply")
	case hasNUL:
		errs.AddNUL(pointer)
	default:
		return object
	}
	return nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,40}$`)

// plain returns the name if it has the form of a name, and otherwise "". So no password hash is printed.
func plain(name string) string {
	if !plainName.MatchString(name) {
		return ""
	}
	return name
}

// strictUUID is a UUID in its canonical form of 36 characters. The nil UUID is refused, because it means that there is no id
// (RFC 9562 section 5.9).
type strictUUID uuid.UUID

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *strictUUID) UnmarshalText(text []byte) error {
	id, err := uuid.ParseBytes(text)
	if err != nil || len(text) != len(id.String()) || id == uuid.Nil {
		return errors.New("not a UUID")
	}
	*u = strictUUID(id)
	return nil
}
