package main

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"user-service/pkg/user"
)

// memberKind is the type of a member of an imported account.
type memberKind int

const (
	text memberKind = iota
	flag
	moment
	list
	document
	identifier
)

// members are what an imported account may have.
var members = map[string]memberKind{
	"id": identifier, "email": text, "email_verified": flag, "password_hash": text, "name": text, "picture": text, "locale": text,
	"zoneinfo": text, "metadata": document, "roles": list, "status": text, "created_at": moment,
}

func memberNames() []string { return slices.Sorted(maps.Keys(members)) }

// account makes an account of the record, and tells which members are not of their kind. An
// absent member and null are the same.
func (r record) account() (user.Import, user.FieldErrors) {
	var a user.Import
	var errs user.FieldErrors
	targets := map[string]any{
		"email": &a.Email, "email_verified": &a.EmailVerified, "password_hash": &a.PasswordHash, "name": &a.Profile.Name,
		"picture": &a.Profile.Picture, "locale": &a.Profile.Locale, "zoneinfo": &a.Profile.Zoneinfo, "roles": &a.Roles,
		"status": (*string)(&a.Status), "created_at": &a.CreatedAt, "id": (*strictUUID)(&a.ID),
	}
	for name, value := range r.members {
		kind, known := members[name]
		switch {
		case !known:
			errs.Add(cmp.Or(plain(name), "a member"), user.Unknown, "is not known; see user-service users import --help")
		case value.Kind() == 'n':
		case kind == document:
			var why string
			if a.Profile.Metadata, why = compact(value); why != "" {
				errs.Add("/"+name, user.InvalidFormat, why)
			}
		case json.Unmarshal(value, targets[name]) != nil:
			errs.Add("/"+name, user.InvalidType, mustBe[kind])
		}
	}
	return a, errs
}

var mustBe = map[memberKind]string{
	text:   "must be a string",
	flag:   "must be true or false",
	moment: "must be a time with its zone as RFC 3339 writes it, such as 2021-03-04T05:06:07Z",
	list:   "must be a list of names",

	identifier: "must be a UUID such as 0198c0de-1a2b-7c3d-8e4f-5a6b7c8d9e0f, and not all zeros",
}

// maxDepth is how deeply metadata may be nested, as in the API.
const maxDepth = 64

// compact returns a JSON object without spaces, its numbers as they were written.
func compact(value jsontext.Value) (out []byte, why string) {
	if value.Kind() != '{' {
		return nil, "must be a JSON object"
	}
	tokens := jsontext.NewDecoder(strings.NewReader(string(value)))
	for {
		token, err := tokens.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			if err := value.Compact(jsontext.PreserveRawStrings(true)); err != nil {
				return nil, "must be a JSON object"
			}
			return value, ""
		case err != nil:
			return nil, "must be a JSON object"
		case tokens.StackDepth() > maxDepth:
			return nil, "is nested too deeply"
		case token.Kind() == '"' && strings.ContainsRune(token.String(), 0): // PostgreSQL can't keep it
			return nil, "must not contain the character NUL (\\u0000)"
		}
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,40}$`)

// plain returns a name if it is no more than a name, else nothing, so that no hash is shown.
func plain(name string) string {
	if !plainName.MatchString(name) {
		return ""
	}
	return name
}

// strictUUID is a UUID in its usual form alone: 36 characters, and not the nil UUID, which is nobody's.
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
