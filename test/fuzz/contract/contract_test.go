package contract_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"user-service/api"
	"user-service/test/fuzz/contract"
)

func load(t *testing.T) *contract.Contract {
	t.Helper()
	raw, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 15})
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.New(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func maker() *contract.Maker { return &contract.Maker{Rand: rand.New(rand.NewPCG(1, 1)), All: true} }

// annotations are the keywords of schemas that constrain no value, or only through their subschemas.
var annotations = []string{
	"$ref", "properties", "items", "description", "title", "examples", "example", "default", "deprecated",
	"readOnly", // only valid in a response
}

// TestCheckerFindsAFaultOfEachKeyword breaks each keyword of each schema of the description in a response or request. The checker
// must find each fault.
func TestCheckerFindsAFaultOfEachKeyword(t *testing.T) {
	t.Parallel()
	c := load(t)
	f := faults{t: t, done: map[*contract.Schema]bool{}, found: map[string]bool{}, alone: map[string]bool{}}
	for _, op := range c.Operations {
		for status, response := range op.Responses {
			f.ofAnswer(c, op, status, response)
		}
		f.ofRequest(c, op)
	}
	raw, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 15})
	if err != nil {
		t.Fatal(err)
	}
	for keyword := range keywordsOf(t, raw) {
		if !slices.Contains(annotations, keyword) && !f.found[keyword] {
			t.Errorf("no fault of %s was created and found", keyword)
		}
	}
	for where, alone := range f.alone {
		if !alone {
			t.Errorf("no fault breaks %s alone", where)
		}
	}
	t.Logf("%d faults of %d keywords", f.count, len(f.found))
}

// faults creates faults, and records which of them the checker finds.
type faults struct {
	t     *testing.T
	count int
	done  map[*contract.Schema]bool
	found map[string]bool
	alone map[string]bool // by the location of a keyword: whether a fault broke only that keyword
}

func (f *faults) ofAnswer(c *contract.Contract, op *contract.Operation, status int, response *contract.Response) {
	f.t.Helper()
	good := answer(op, status, response)
	name := fmt.Sprintf("%s %d", op.ID, status)
	f.none(name, c.CheckAnswer(good))
	for media, schema := range response.Content {
		if media == "text/html; charset=utf-8" {
			continue
		}
		f.ofValue(name, schema, maker().Value(schema), func(value any) []contract.Broken {
			altered := good
			altered.ResponseBody = contract.JSON(value)
			return c.CheckAnswer(altered)
		})
	}
	for header, h := range response.Headers {
		f.ofValue(name+" "+header, h.Schema, maker().Value(h.Schema), func(value any) []contract.Broken {
			if !asText(h.Schema, value) {
				return skipped
			}
			altered := good
			altered.ResponseHeader = good.ResponseHeader.Clone()
			altered.ResponseHeader.Set(header, text(value))
			return c.CheckAnswer(altered)
		})
	}
}

func (f *faults) ofRequest(c *contract.Contract, op *contract.Operation) {
	f.t.Helper()
	good := request(op)
	f.none(op.ID, c.CheckRequest(good))
	if op.Body != nil {
		for media, schema := range op.Body.Content {
			f.ofValue(op.ID+" "+media, schema, maker().Value(schema), func(value any) []contract.Broken {
				if media != "application/json" && !strings.HasSuffix(media, "+json") { // all values of a form are strings
					return schema.Check(value)
				}
				altered := good
				altered.Header = http.Header{"Content-Type": {media}}
				altered.Body = contract.JSON(value)
				return c.CheckRequest(altered)
			})
		}
	}
	for _, p := range op.Params {
		f.ofValue(op.ID+" "+p.Name, p.Schema, maker().Value(p.Schema), func(value any) []contract.Broken {
			if !asText(p.Schema, value) {
				return skipped
			}
			return p.Schema.Check(value)
		})
	}
}

// skipped marks a fault that can't be sent. A header or a parameter is text, which is always a valid string.
var skipped = []contract.Broken{{Keyword: "skipped"}}

func asText(s *contract.Schema, value any) bool {
	_, isText := value.(string)
	return isText || !slices.Contains(s.Types(), "string")
}

// ofValue creates each fault of a value.
func (f *faults) ofValue(name string, schema *contract.Schema, good any, check func(any) []contract.Broken) {
	f.t.Helper()
	f.none(name, check(good))
	if f.done[schema] { // by another response that refers to the same schema
		return
	}
	f.done[schema] = true
	for _, v := range contract.Variants(schema, good) {
		where := v.Schema.Location() + "/" + v.Keyword
		found := check(v.Value)
		if v.Allowed {
			if _, isText := good.(string); isText || len(found) == 0 {
				continue // for example, a padded text no longer has its format
			}
			if !onlyOf(found, "format", "pattern") {
				f.t.Errorf("%s: %s at %s is allowed, but reported: %v", name, v.Keyword, v.Path, found)
			}
			continue
		}
		if len(found) > 0 && &found[0] == &skipped[0] {
			continue
		}
		f.count++
		if len(found) == 0 {
			f.t.Errorf("%s: %s at %q is broken by %.100v, but not reported", name, v.Keyword, v.Path, v.Value)
		}
		named := slices.ContainsFunc(found, func(b contract.Broken) bool { return b.Keyword == v.Keyword })
		f.found[v.Keyword] = f.found[v.Keyword] || named
		f.alone[where] = f.alone[where] || onlyOf(found, implied[v.Keyword]...) || onlyOf(found, v.Keyword)
	}
}

// implied maps a keyword to all keywords that its fault necessarily violates, including the keyword itself.
var implied = map[string][]string{"type": {"type", "enum"}, "minLength": {"minLength", "format"}}

func onlyOf(found []contract.Broken, keywords ...string) bool {
	return !slices.ContainsFunc(found, func(b contract.Broken) bool { return !slices.Contains(keywords, b.Keyword) })
}

func (f *faults) none(name string, found []contract.Broken) {
	f.t.Helper()
	if len(found) > 0 {
		f.t.Errorf("%s: a valid value is reported: %v", name, found)
	}
}

// answer returns a valid response.
func answer(op *contract.Operation, status int, response *contract.Response) contract.Exchange {
	x := contract.Exchange{Method: op.Method, Target: request(op).Target, Status: status, ResponseHeader: http.Header{}}
	for name, h := range response.Headers {
		x.ResponseHeader.Set(name, text(maker().Value(h.Schema)))
	}
	for media, schema := range response.Content {
		x.ResponseHeader.Set("Content-Type", media)
		x.ResponseBody = contract.JSON(maker().Value(schema))
	}
	return x
}

// request returns a valid request.
func request(op *contract.Operation) contract.Exchange {
	x := contract.Exchange{Method: op.Method, Target: op.Path, Header: http.Header{}}
	for _, p := range op.Params {
		if p.In == "path" {
			x.Target = strings.Replace(x.Target, "{"+p.Name+"}", text(maker().Value(p.Schema)), 1)
		}
	}
	if op.Body == nil {
		return x
	}
	for media, schema := range op.Body.Content {
		x.Header.Set("Content-Type", media)
		x.Body = contract.Encode(media, maker().Value(schema))
	}
	return x
}

func text(value any) string {
	if s, isText := value.(string); isText {
		return s
	}
	return fmt.Sprint(value)
}

// keywordsOf returns the keywords of all schemas of a description.
func keywordsOf(t *testing.T, raw []byte) map[string]bool {
	t.Helper()
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	keywords := map[string]bool{}
	var ofSchema, ofNode func(any)
	ofSchema = func(schema any) {
		object, _ := schema.(map[string]any)
		for keyword, value := range object {
			keywords[keyword] = true
			switch members, _ := value.(map[string]any); keyword {
			case "properties", "patternProperties", "$defs":
				for member := range maps.Values(members) {
					ofSchema(member)
				}
			case "example", "examples", "default", "enum", "const":
			default:
				ofSchema(value)
			}
		}
	}
	ofNode = func(n any) {
		switch n := n.(type) {
		case map[string]any:
			for name, value := range n {
				switch name {
				case "schema":
					ofSchema(value)
				case "schemas":
					for schema := range maps.Values(value.(map[string]any)) {
						ofSchema(schema)
					}
				case "example", "examples", "value":
				default:
					ofNode(value)
				}
			}
		case []any:
			for _, item := range n {
				ofNode(item)
			}
		}
	}
	ofNode(doc)
	return keywords
}
