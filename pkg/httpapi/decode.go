package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"user-service/pkg/user"
)

const (
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json"
)

// object is the JSON object of a request's body. Readers take its members one by one, and errors are collected.
type object struct {
	members map[string]jsontext.Value
	errs    user.FieldErrors
}

// decode reads an input from the call's body. read takes the members of the object; a member that is left is unknown. If there are errors,
// decode also calls check, so that the response lists all errors together. If there are none, package user checks the input later.
func decode[T any](c *call, accepted []string, read func(*object) T, check func(T) user.FieldErrors) (T, error) {
	var none T
	if err := checkMediaType(c.Header, accepted); err != nil {
		return none, err
	}
	c.receive()
	defer c.release() // from here on, the handler needs only the input, not the body
	if c.bodyErr != nil {
		return none, c.bodyErr
	}
	obj := c.object
	in := read(obj)
	for _, name := range slices.Sorted(maps.Keys(obj.members)) {
		if obj.errs.Full() { // a hostile body has thousands of members
			break
		}
		obj.errs.Add(pointer(name), user.Unknown, "is not a member of this request")
	}
	if check != nil && len(obj.errs) > 0 {
		for _, e := range check(in) {
			obj.errs.Append(e)
		}
	}
	return in, obj.errs.Err()
}

func checkMediaType(h http.Header, accepted []string) error {
	media, params, err := mime.ParseMediaType(strings.Join(h.Values("Content-Type"), ",")) // a repeated header is invalid
	charset := strings.ToLower(params["charset"])
	encoding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
	if err != nil || !slices.Contains(accepted, media) || charset != "" && charset != "utf-8" ||
		encoding != "" && encoding != "identity" {
		return errMediaType(strings.Join(accepted, " or "))
	}
	return nil
}

// parseObject reads a body that is one JSON object. Invalid UTF-8, a duplicate name and deep nesting are malformed (RFC 8259,
// RFC 7493).
func parseObject(body []byte) (*object, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	kind := dec.PeekKind()
	obj := &object{members: map[string]jsontext.Value{}}
	if err := obj.scan(dec); err != nil {
		return nil, errMalformed(syntaxDetail(err))
	}
	if kind != '{' {
		return nil, errMalformed("The body must be a JSON object.")
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errMalformed("The body must be one JSON object and nothing after it.")
	}
	return obj, obj.split(body)
}

// scan reads the whole body, and collects an error for each string that contains NUL.
func (o *object) scan(dec *jsontext.Decoder) error {
	return user.ScanJSON(dec, func() {
		if !o.errs.Full() {
			o.errs.AddNUL(placeOf(dec))
		}
	})
}

// maxPlace is the limit in bytes for a pointer. A pointer into a deep value can be as long as the body, and a body can have
// thousands of such values.
const maxPlace = 512

// placeOf returns the pointer of the token that was read last, or of the closest enclosing value whose pointer is short enough.
func placeOf(dec *jsontext.Decoder) string {
	place := dec.StackPointer()
	for len(place) > maxPlace && place.Parent() != "" {
		place = place.Parent()
	}
	return string(place)
}

// split finds the members of an object after scan has found the object well-formed.
func (o *object) split(body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errMalformed("The body must be a JSON object.")
	}
	for name, value := range members {
		o.members[name] = jsontext.Value(value)
	}
	return nil
}

// syntaxDetail describes a syntax error without repeating any part of the body.
func syntaxDetail(err error) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "The body has a member twice."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The body must be a JSON object; it is empty or cut off."
	case errors.Is(err, user.ErrNesting):
		return "The body is nested too deeply."
	default:
		return "The body must be a JSON object in UTF-8."
	}
}

// take removes a member from the object and returns its value; null counts as absent.
func (o *object) take(name string) (value jsontext.Value, given bool) {
	value, given = o.members[name]
	delete(o.members, name)
	if given && value.Kind() == 'n' {
		return nil, true
	}
	return value, given
}

// text takes a string. The result is "" for an absent member, null or another type.
func (o *object) text(name string) string {
	value, _ := o.take(name)
	return o.asText(name, value)
}

// email takes an email, without blanks at both ends.
func (o *object) email() string { return user.TrimEmail(o.text("email")) }

func trimmed(email *string) *string {
	if email != nil {
		*email = user.TrimEmail(*email)
	}
	return email
}

// change takes a string of a merge patch. The result is nil for an absent member, and "" for null.
func (o *object) change(name string) *string {
	value, given := o.take(name)
	if !given {
		return nil
	}
	s := o.asText(name, value)
	return &s
}

func (o *object) asText(name string, value jsontext.Value) string {
	var s string
	if value != nil && json.Unmarshal(value, &s) != nil {
		o.errs.Add(pointer(name), user.InvalidType, "must be a string", expected("string"))
	}
	return s
}

// optional takes a string that may be absent. The result is nil for an absent member and null.
func (o *object) optional(name string) *string {
	value, _ := o.take(name)
	if value == nil {
		return nil
	}
	s := o.asText(name, value)
	return &s
}

// document takes a JSON object and compacts it. The result is nil for an absent member and null.
func (o *object) document(name string) json.RawMessage {
	value, _ := o.take(name)
	if value == nil {
		return nil
	}
	document, ok := user.CompactObject(value)
	if !ok {
		o.errs.Add(pointer(name), user.InvalidType, "must be a JSON object", expected("object"))
	}
	return document
}

// flag takes a boolean. The result is false for an absent member, null or another type.
func (o *object) flag(name string) (b bool) {
	value, _ := o.take(name)
	if value != nil && json.Unmarshal(value, &b) != nil {
		o.errs.Add(pointer(name), user.InvalidType, "must be true or false", expected("boolean"))
	}
	return b
}

// names takes a list of strings, which is required. what describes an item in errors.
func (o *object) names(name, what string) []string {
	value, _ := o.take(name)
	if value == nil {
		o.errs.Add(pointer(name), user.Required, "is required")
		return nil
	}
	var values []json.RawMessage
	if json.Unmarshal(value, &values) != nil {
		o.errs.Add(pointer(name), user.InvalidType, "must be a list of names", expected("array"))
		return nil
	}
	names := make([]string, len(values))
	for i, raw := range values {
		if o.errs.Full() {
			break
		}
		if raw[0] != '"' || json.Unmarshal(raw, &names[i]) != nil {
			o.errs.Add(fmt.Sprintf("%s/%d", pointer(name), i), user.InvalidType, "must be "+what, expected("string"))
		}
	}
	return names
}

// ignore takes members and drops their values.
func (o *object) ignore(names ...string) {
	for _, name := range names {
		_, _ = o.take(name)
	}
}

// expected returns the parameter of an error about the JSON type of a value.
func expected(jsonType string) user.Param { return user.Param{Name: "expected", Value: jsonType} }

// pointer returns the RFC 6901 pointer of a member of the body.
func pointer(name string) string { return "/" + pointerEscapes.Replace(name) }

// pointerEscapes replaces characters as RFC 6901 section 3 requires. All calls share the replacer, because its construction costs more than
// its use.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
