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

// object is the JSON object of a request's body, from which members are taken one by
// one. What is wrong with them is collected.
type object struct {
	members map[string]jsontext.Value
	errs    user.FieldErrors
}

// decode makes an input of the call's body. read takes the members from the object; a
// member that it does not take is unknown. check says what else is wrong, so that all
// of it is told at once.
func decode[T any](c *call, accepted []string, read func(*object) T, check func(T) user.FieldErrors) (T, error) {
	var none T
	if err := checkMediaType(c.Header, accepted); err != nil {
		return none, err
	}
	c.receive()
	defer c.release() // what follows keeps no more of the body than in
	if c.bodyErr != nil {
		return none, c.bodyErr
	}
	obj := c.object
	in := read(obj)
	for _, name := range slices.Sorted(maps.Keys(obj.members)) {
		if obj.errs.Full() { // a hostile body has thousands
			break
		}
		obj.errs.Add(pointer(name), user.Unknown, "is not a member of this request")
	}
	if check != nil {
		for _, e := range check(in) {
			obj.errs.Append(e)
		}
	}
	return in, obj.errs.Err()
}

func checkMediaType(h http.Header, accepted []string) error {
	media, params, err := mime.ParseMediaType(strings.Join(h.Values("Content-Type"), ",")) // one that is sent twice is none
	charset := strings.ToLower(params["charset"])
	encoding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
	if err != nil || !slices.Contains(accepted, media) || charset != "" && charset != "utf-8" ||
		encoding != "" && encoding != "identity" {
		return errMediaType(strings.Join(accepted, " or "))
	}
	return nil
}

// parseObject reads one JSON object and nothing else. Invalid UTF-8, a name that
// appears twice, and nesting without sense are malformed (RFC 8259, RFC 7493).
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

// scan reads a whole value, by tokens: ReadValue would call itself for each level of a hostile body. It notes every string with
// a NUL, which PostgreSQL can't keep.
func (o *object) scan(dec *jsontext.Decoder) error {
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() == '"' && !o.errs.Full() && strings.ContainsRune(token.String(), 0) {
			o.errs.Add(placeOf(dec), user.InvalidCharacters, "must not contain the character NUL (\\u0000)")
		}
		switch depth := dec.StackDepth(); {
		case depth > maxDepth:
			return errTooDeep
		case depth == 0:
			return nil
		}
	}
}

// maxPlace is how long a pointer is at most. One into a deep value can be as long as the body, and a body may
// have thousands of such places.
const maxPlace = 512

// placeOf points to what was read last, or to the closest member around it that can be told shortly.
func placeOf(dec *jsontext.Decoder) string {
	place := dec.StackPointer()
	for len(place) > maxPlace && place.Parent() != "" {
		place = place.Parent()
	}
	return string(place)
}

// split finds the members of an object that scan has found to be well-formed.
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

var errTooDeep = errors.New("nested too deeply")

// syntaxDetail says what is wrong with a body without repeating any of it.
func syntaxDetail(err error) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "The body has a member twice."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The body must be a JSON object; it is empty or cut off."
	case errors.Is(err, errTooDeep):
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

// text takes a string; "" if it is absent, null or no string.
func (o *object) text(name string) string {
	value, _ := o.take(name)
	return o.asText(name, value)
}

// email takes an email, without the blanks around it.
func (o *object) email() string { return user.TrimEmail(o.text("email")) }

func trimmed(email *string) *string {
	if email != nil {
		*email = user.TrimEmail(*email)
	}
	return email
}

// change takes a string of a merge patch; nil if it is absent, "" if it is null.
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

// document takes a JSON object as it is, made compact; nil if it is absent or null.
func (o *object) document(name string) json.RawMessage {
	value, _ := o.take(name)
	if value == nil {
		return nil
	}
	if value.Kind() != '{' {
		o.errs.Add(pointer(name), user.InvalidType, "must be a JSON object", expected("object"))
		return nil
	}
	if err := value.Compact(jsontext.PreserveRawStrings(true)); err != nil {
		o.errs.Add(pointer(name), user.InvalidType, "must be a JSON object", expected("object"))
	}
	return json.RawMessage(value)
}

// names takes a list of strings, which has to be there. what says what each of them is.
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

// ignore takes members that are read-only.
func (o *object) ignore(names ...string) {
	for _, name := range names {
		_, _ = o.take(name)
	}
}

// expected is the param of a value of another JSON type.
func expected(jsonType string) user.Param { return user.Param{Name: "expected", Value: jsonType} }

// pointer is the RFC 6901 pointer of a member of the body.
func pointer(name string) string { return "/" + pointerEscapes.Replace(name) }

// pointerEscapes are those of RFC 6901 section 3. One is made for all, as to make one costs more than to use it.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
