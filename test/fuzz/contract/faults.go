package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Variant is a value at the limit of one keyword, or just beyond it.
type Variant struct {
	Keyword string
	Path    string // the changed member, as a JSON pointer
	Schema  *Schema
	Value   any // the whole value
	Allowed bool
}

// Variants returns variants of a value at the limit of each keyword of its schema, and beyond it. If breaking a keyword in one
// way may break another keyword too, there are several variants.
func Variants(s *Schema, value any) (all []Variant) {
	for _, part := range s.parts() {
		for keyword, argument := range part.keywords {
			make, known := variants[keyword]
			if !known {
				continue
			}
			for _, v := range make(argument, value, part) {
				all = append(all, Variant{Keyword: keyword, Schema: part, Value: v.value, Allowed: v.allowed})
			}
		}
	}
	all = append(all, ofMembers(s, value)...)
	slices.SortStableFunc(all, func(a, b Variant) int { return strings.Compare(a.Path+" "+a.Keyword, b.Path+" "+b.Keyword) })
	return all
}

// ofMembers returns the variants of members and items, each within the whole value.
func ofMembers(s *Schema, value any) (all []Variant) {
	switch value := value.(type) {
	case map[string]any:
		_, schemas := s.properties()
		for name, member := range value {
			schema := schemas[name]
			if schema == nil {
				if schema = additional(s); schema == nil {
					continue
				}
			}
			for _, v := range Variants(schema, member) {
				whole := maps.Clone(value)
				whole[name] = v.Value
				v.Path, v.Value = "/"+escape(name)+v.Path, whole
				all = append(all, v)
			}
		}
	case []any:
		_, in := s.keyword("items")
		if in == nil || len(value) == 0 {
			return nil
		}
		last := len(value) - 1
		for _, v := range Variants(in.child("items"), value[last]) {
			whole := slices.Clone(value)
			whole[last] = v.Value
			v.Path, v.Value = "/"+strconv.Itoa(last)+v.Path, whole
			all = append(all, v)
		}
	}
	return all
}

// additional returns the schema of unnamed members; nil: none.
func additional(s *Schema) *Schema {
	more, in := s.keyword("additionalProperties")
	if _, isSchema := more.(map[string]any); !isSchema {
		return nil
	}
	return in.child("additionalProperties")
}

// variant replaces a value.
type variant struct {
	value   any
	allowed bool
}

func broken(values ...any) (all []variant) {
	for _, v := range values {
		all = append(all, variant{v, false})
	}
	return all
}

// variants creates the variants of each supported keyword.
var variants map[string]func(argument, value any, s *Schema) []variant

func init() { // in init, because the map refers to itself through Variants
	variants = map[string]func(argument, value any, s *Schema) []variant{
		"type": wrongTypes, "enum": outside, "const": outside,
		"minLength": tooShort, "maxLength": tooLong, "pattern": mismatches, "format": malformed,
		"minimum": below, "maximum": above,
		"minItems": tooFew, "maxItems": tooMany, "uniqueItems": duplicate,
		"required": missing, "additionalProperties": unexpected,
	}
}

func wrongTypes(_, value any, s *Schema) (all []variant) {
	types := s.Types()
	for _, v := range []struct {
		typ   string
		value any
	}{
		{"string", "text"},
		{"number", json.Number("1.5")},
		{"integer", json.Number("2")},
		{"boolean", true},
		{"array", []any{}},
		{"object", map[string]any{}},
		{"null", nil},
	} {
		if slices.Contains(types, v.typ) || v.typ == "integer" && slices.Contains(types, "number") {
			continue
		}
		all = append(all, variant{v.value, false})
	}
	if _, isText := value.(string); isText && slices.Contains(types, "null") {
		all = append(all, variant{nil, true})
	}
	return all
}

func outside(argument, value any, _ *Schema) []variant {
	text, isText := value.(string)
	if !isText {
		return nil
	}
	all := broken(text+"x", strings.ToUpper(text), "")
	values, _ := argument.([]any)
	return slices.DeleteFunc(all, func(v variant) bool { return slices.Contains(values, v.value) || v.value == argument })
}

func toInt(argument any) int {
	n, _ := argument.(json.Number)
	i, _ := strconv.Atoi(n.String())
	return i
}

func tooShort(argument, value any, _ *Schema) []variant {
	text, isText := value.(string)
	least := toInt(argument)
	if !isText || least == 0 {
		return nil
	}
	return append(broken(cut(text, least-1), strings.Repeat("ü", least-1)), variant{cut(text, least), true})
}

func tooLong(argument, value any, _ *Schema) []variant {
	text, isText := value.(string)
	if !isText {
		return nil
	}
	most := toInt(argument)
	before := strings.Repeat("a", max(0, most+1-len([]rune(text)))) + text // keeps a valid email
	return append(broken(pad(text, most+1), before, strings.Repeat("ü", most+1)), variant{pad(text, most), true})
}

// cut returns the first n characters.
func cut(s string, n int) string {
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}

// pad returns a text with n characters.
func pad(s string, n int) string { return cut(s+strings.Repeat("a", n), n) }

func mismatches(_, value any, s *Schema) []variant {
	text, isText := value.(string)
	if !isText {
		return nil
	}
	return slices.DeleteFunc(broken("", text+"\n", "\x7f"+text, text+"é", strings.ToUpper(text)+"!",
		"/"+text+"\x00"), func(v variant) bool {
		return !slices.ContainsFunc(s.Check(v.value), func(b Broken) bool { return b.Keyword == "pattern" })
	})
}

func malformed(_, value any, s *Schema) []variant {
	if _, isText := value.(string); !isText {
		return nil
	}
	return slices.DeleteFunc(broken("not in this format", "%zz", "://", "a@b@c"), func(v variant) bool {
		return !slices.ContainsFunc(s.Check(v.value), func(b Broken) bool { return b.Keyword == "format" })
	})
}

func below(argument, value any, _ *Schema) []variant {
	if _, isNumber := value.(json.Number); !isNumber {
		return nil
	}
	least := toInt(argument)
	return append(broken(json.Number(strconv.Itoa(least-1)), json.Number("-1e300")), variant{json.Number(strconv.Itoa(least)), true})
}

func above(argument, value any, _ *Schema) []variant {
	if _, isNumber := value.(json.Number); !isNumber {
		return nil
	}
	most := toInt(argument)
	return append(broken(json.Number(strconv.Itoa(most+1)), json.Number("1e300")), variant{json.Number(strconv.Itoa(most)), true})
}

func tooFew(argument, value any, _ *Schema) []variant {
	items, isArray := value.([]any)
	least := toInt(argument)
	if !isArray || least == 0 || len(items) < least {
		return nil
	}
	return append(broken(items[:least-1]), variant{items[:least], true})
}

func tooMany(argument, value any, s *Schema) []variant {
	items, isArray := value.([]any)
	if !isArray || len(items) == 0 {
		return nil
	}
	most := toInt(argument)
	if unique, _ := s.keyword("uniqueItems"); unique == true { // the elements are texts
		items = nil
		for n := range most + 1 {
			items = append(items, fmt.Sprint("item ", n))
		}
	}
	return append(broken(repeated(items, most+1)), variant{repeated(items, most), true})
}

// repeated returns n items, and repeats the last one.
func repeated(items []any, n int) []any {
	items = slices.Clone(items)
	for len(items) < n {
		items = append(items, items[len(items)-1])
	}
	return items[:n]
}

func duplicate(argument, value any, _ *Schema) []variant {
	items, isArray := value.([]any)
	if !isArray || len(items) == 0 || argument != true {
		return nil
	}
	return broken(append(slices.Clone(items), items[0]))
}

func missing(argument, value any, _ *Schema) (all []variant) {
	object, isObject := value.(map[string]any)
	names, _ := argument.([]any)
	if !isObject {
		return nil
	}
	for _, name := range texts(names) {
		without := maps.Clone(object)
		delete(without, name)
		all = append(all, variant{without, false})
	}
	return all
}

func unexpected(argument, value any, _ *Schema) []variant {
	object, isObject := value.(map[string]any)
	if !isObject || argument != false {
		return nil
	}
	more := maps.Clone(object)
	more["unexpected"] = "member"
	return broken(more)
}
