package contract

import (
	"encoding/json"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// Maker generates values that a schema allows.
type Maker struct {
	Rand *rand.Rand
	// Hint returns a value for a member by its name. If it returns false, Maker generates the value from the schema.
	Hint func(name string) (any, bool)
	// All adds every optional member; otherwise about half of them.
	All bool
}

// Value returns a value that the schema allows.
func (m *Maker) Value(s *Schema) any {
	if value, in := s.keyword("const"); in != nil {
		return value
	}
	if value, in := s.keyword("enum"); in != nil {
		values, _ := value.([]any)
		return values[m.Rand.IntN(len(values))]
	}
	for _, choice := range []string{"oneOf", "anyOf"} {
		if _, in := s.keyword(choice); in != nil {
			return m.Value(in.child(choice, "0"))
		}
	}
	types := s.Types()
	if types == nil {
		types = []string{implied(s)}
	}
	typ := types[0]
	if !m.All {
		typ = types[m.Rand.IntN(len(types))]
	}
	return m.ofType(typ, s)
}

// implied returns the type of a schema without a type keyword.
func implied(s *Schema) string {
	if _, in := s.keyword("properties"); in != nil {
		return "object"
	}
	return "string"
}

func (m *Maker) ofType(typ string, s *Schema) any {
	switch typ {
	case "object":
		return m.object(s)
	case "array":
		return m.array(s)
	case "string":
		return m.text(s)
	case "integer", "number":
		least := s.number("minimum", s.number("exclusiveMinimum", -1)+1)
		most := s.number("maximum", max(least, 1000))
		step := s.number("multipleOf", 1)
		n := least + m.Rand.IntN(most-least+1)
		return json.Number(strconv.Itoa((n + step - 1) / step * step))
	case "boolean":
		return m.Rand.IntN(2) == 0
	default:
		return nil
	}
}

func (m *Maker) object(s *Schema) any {
	object := map[string]any{}
	required, _ := s.keyword("required")
	must, _ := required.([]any)
	names, schemas := s.properties()
	for _, name := range names {
		optional := !slices.Contains(must, any(name))
		if leaveOut := m.Rand.IntN(2) == 0; optional && leaveOut && !m.All {
			continue
		}
		object[name] = m.member(name, schemas[name])
	}
	if more, in := s.keyword("additionalProperties"); in != nil && (m.All || m.Rand.IntN(2) == 0) {
		if _, isSchema := more.(map[string]any); isSchema {
			object["other"] = m.Value(in.child("additionalProperties"))
		} else if more == true {
			object["other"] = "value"
		}
	}
	return object
}

func (m *Maker) member(name string, s *Schema) any {
	if m.Hint != nil {
		if value, ok := m.Hint(name); ok {
			return value
		}
	}
	return m.Value(s)
}

func (m *Maker) array(s *Schema) any {
	least, most := s.number("minItems", 0), s.number("maxItems", 3)
	n := max(least, 1)
	if !m.All {
		n = least + m.Rand.IntN(min(most, least+3)-least+1)
	}
	_, in := s.keyword("items")
	values := make([]any, n)
	for i := range values {
		if in == nil {
			values[i] = i
		} else {
			values[i] = m.Value(in.child("items"))
		}
	}
	if unique, _ := s.keyword("uniqueItems"); unique == true {
		return withoutDuplicates(values)
	}
	return values
}

func withoutDuplicates(values []any) (unique []any) {
	unique = []any{}
	for _, v := range values {
		if !slices.ContainsFunc(unique, func(u any) bool { return string(JSON(u)) == string(JSON(v)) }) {
			unique = append(unique, v)
		}
	}
	return unique
}

// samples are valid values by format.
var samples = map[string][]string{
	"uuid":          {"019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071", "019ab3d0-1a2b-7c3d-8e4f-5a6b7c8d9e01"},
	"date-time":     {"2026-11-24T08:30:00.123456Z", "2024-02-29T23:59:59Z"},
	"idn-email":     {"ada@example.com", "grüße@exämple.example"},
	"email":         {"ada@example.com"},
	"uri":           {"https://example.com/ada.png", "https://example.com/?q=1#x"},
	"uri-reference": {"/users/me", "users/019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"},
	"json-pointer":  {"/password", "/metadata/a~1b/0"},
	"ip":            {"2001:db8::7", "192.0.2.1"},
}

func (m *Maker) text(s *Schema) string {
	if pattern, in := s.keyword("pattern"); in != nil {
		return m.matching(pattern.(string))
	}
	format, _ := s.keyword("format")
	if name, _ := format.(string); samples[name] != nil {
		return samples[name][m.Rand.IntN(len(samples[name]))]
	}
	least := s.number("minLength", 0)
	most := min(s.number("maxLength", least+20), least+20)
	return m.letters(least + m.Rand.IntN(most-least+1))
}

func (m *Maker) letters(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("abcdefghijklmnopqrstuvwxyz"[m.Rand.IntN(26)])
	}
	return b.String()
}

// matching returns a text that a regular expression matches.
func (m *Maker) matching(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return pattern
	}
	var b strings.Builder
	m.match(&b, re.Simplify())
	return b.String()
}

func (m *Maker) match(b *strings.Builder, re *syntax.Regexp) {
	times := 1
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		i := m.Rand.IntN(len(re.Rune)/2) * 2
		b.WriteRune(re.Rune[i] + m.Rand.Int32N(re.Rune[i+1]-re.Rune[i]+1))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpAlternate:
		m.match(b, re.Sub[m.Rand.IntN(len(re.Sub))])
		return
	case syntax.OpStar:
		times = m.Rand.IntN(4)
	case syntax.OpPlus:
		times = 1 + m.Rand.IntN(4)
	case syntax.OpQuest:
		times = m.Rand.IntN(2)
	}
	for range times {
		for _, sub := range re.Sub {
			m.match(b, sub)
		}
	}
}
