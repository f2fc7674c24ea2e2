package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Schema is a schema of the OpenAPI description.
type Schema struct {
	reader   *reader
	pointer  string
	keywords map[string]any
	compiled *jsonschema.Schema

	once sync.Once
	all  []*Schema // the result of parts
}

func (r *reader) schema(n node) *Schema {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.schemas[n.pointer]
	if known == nil {
		known = r.compile(n)
		r.schemas[n.pointer] = known
	}
	return known
}

func (r *reader) compile(n node) *Schema {
	keywords, ok := n.value.(map[string]any)
	if !ok {
		r.fail(fmt.Errorf("%s is not a schema", n.pointer))
		return &Schema{reader: r}
	}
	compiled, err := r.c.compiler.Compile(resource + "#" + n.pointer)
	if err != nil {
		r.fail(fmt.Errorf("schema %s: %w", n.pointer, err))
	}
	return &Schema{reader: r, pointer: n.pointer, keywords: keywords, compiled: compiled}
}

// child returns the schema below a keyword, such as a property.
func (s *Schema) child(names ...string) *Schema {
	pointer := s.pointer
	for _, name := range names {
		pointer += "/" + escape(name)
	}
	return s.reader.schema(s.reader.at(pointer))
}

// parts returns the schemas that apply together: this one, its $ref, and the members of allOf.
func (s *Schema) parts() []*Schema {
	s.once.Do(func() { s.all = s.collect() })
	return s.all
}

func (s *Schema) collect() []*Schema {
	all := []*Schema{s}
	if ref, ok := s.keywords["$ref"].(string); ok {
		all = append(all, s.reader.schema(s.reader.at(strings.TrimPrefix(ref, "#"))).parts()...)
	}
	members, _ := s.keywords["allOf"].([]any)
	for i := range members {
		all = append(all, s.child("allOf", strconv.Itoa(i)).parts()...)
	}
	return all
}

// keyword returns the value of a keyword, and the schema that contains it; nil: none.
func (s *Schema) keyword(name string) (value any, in *Schema) {
	for _, part := range s.parts() {
		if v, ok := part.keywords[name]; ok {
			return v, part
		}
	}
	return nil, nil
}

// number returns the numeric value of a keyword, or a default.
func (s *Schema) number(name string, otherwise int) int {
	value, _ := s.keyword(name)
	n, ok := value.(json.Number)
	if !ok {
		return otherwise
	}
	i, _ := strconv.Atoi(n.String())
	return i
}

// Types returns the allowed JSON types; nil: any.
func (s *Schema) Types() []string {
	switch types, _ := s.keyword("type"); types := types.(type) {
	case string:
		return []string{types}
	case []any:
		return texts(types)
	default:
		return nil
	}
}

func texts(values []any) (all []string) {
	for _, v := range values {
		text, _ := v.(string)
		all = append(all, text)
	}
	return all
}

// properties returns the sorted names of all properties, and the schema of each.
func (s *Schema) properties() (names []string, schemas map[string]*Schema) {
	schemas = map[string]*Schema{}
	for _, part := range s.parts() {
		members, _ := part.keywords["properties"].(map[string]any)
		for name := range members {
			schemas[name] = part.child("properties", name)
		}
	}
	return slices.Sorted(maps.Keys(schemas)), schemas
}

// Broken is a keyword of a schema, such as maxLength, that a value violates.
type Broken struct {
	Keyword  string
	Location string // where the keyword is in the description
	Detail   string
}

func (b Broken) String() string { return fmt.Sprintf("%s (%s): %s", b.Keyword, b.Location, b.Detail) }

// Check returns every keyword of the schema that a value violates. The value has the types of jsonschema.UnmarshalJSON.
func (s *Schema) Check(value any) []Broken {
	err := s.compiled.Validate(value)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil
	}
	return leaves(invalid, nil)
}

func leaves(err *jsonschema.ValidationError, found []Broken) []Broken {
	keyword, location := "", strings.TrimPrefix(err.SchemaURL, resource)
	switch k := err.ErrorKind.(type) {
	case *kind.Not:
		keyword = "not"
	case *kind.FalseSchema:
		keyword = path.Base(location)
	default:
		for i, name := range k.KeywordPath() {
			if location += "/" + escape(name); i == 0 {
				keyword = name
			}
		}
	}
	if len(err.Causes) == 0 || slices.Contains([]string{"oneOf", "anyOf", "contains", "propertyNames"}, keyword) {
		return append(found, Broken{keyword, location, err.Error()})
	}
	for _, cause := range err.Causes {
		found = leaves(cause, found)
	}
	return found
}

// sent reports members that must not be sent in a direction. mark is readOnly for a request, and writeOnly for a response.
func (s *Schema) sent(value any, mark string) (found []Broken) {
	for _, part := range s.parts() {
		if part.keywords[mark] == true {
			return []Broken{{mark, "#" + part.pointer + "/" + mark, "is present"}}
		}
	}
	switch value := value.(type) {
	case map[string]any:
		_, schemas := s.properties()
		for name, member := range value {
			if schema := schemas[name]; schema != nil {
				found = append(found, schema.sent(member, mark)...)
			}
		}
	case []any:
		if _, in := s.keyword("items"); in != nil {
			for _, item := range value {
				found = append(found, in.child("items").sent(item, mark)...)
			}
		}
	}
	return found
}

// formats are the formats that package jsonschema does not know.
var formats = []*jsonschema.Format{
	{Name: "idn-email", Validate: checkText(func(s string) bool { return plainEmail.MatchString(s) })},
	{Name: "int64", Validate: func(any) error { return nil }},    // a hint for code generators
	{Name: "password", Validate: func(any) error { return nil }}, // a hint for forms
	{Name: "ip", Validate: checkText(func(s string) bool { _, err := netip.ParseAddr(s); return err == nil })},
}

// plainEmail matches emails (RFC 6531) without quotes and comments.
var plainEmail = regexp.MustCompile(`^[^\s@<>()"\\,;:\x00-\x1f\x7f]+@[^\s@<>()"\\,;:\x00-\x1f\x7f]+$`)

var errFormat = errors.New("not in this format")

func checkText(ok func(string) bool) func(any) error {
	return func(value any) error {
		if s, is := value.(string); is && !ok(s) {
			return errFormat
		}
		return nil
	}
}

// Location returns the location of the schema in the description, as a JSON pointer.
func (s *Schema) Location() string { return "#" + s.pointer }
