package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"user-service/api"
)

// load reads the description. It fails if the description is not valid OpenAPI, or has an example that its schema does not allow.
func load(t *testing.T, raw []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// eachOperation runs check for each operation as a subtest.
func eachOperation(t *testing.T, check func(t *testing.T, doc *openapi3.T, path string, op *openapi3.Operation)) {
	doc := load(t, api.OpenAPI())
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			op.Parameters = append(op.Parameters, item.Parameters...)
			t.Run(method+" "+path, func(t *testing.T) { check(t, doc, path, op) })
		}
	}
}

func TestJSONIsTheSameDescription(t *testing.T) {
	t.Parallel()
	raw, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 15})
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := json.Marshal(load(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	fromYAML, err := json.Marshal(load(t, api.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	if string(fromJSON) != string(fromYAML) {
		t.Error("the JSON form differs from openapi.yaml")
	}
}

// TestJSONStatesTheLimits checks that only the schema of new passwords depends on the limit.
func TestJSONStatesTheLimits(t *testing.T) {
	t.Parallel()
	raw, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 9})
	if err != nil {
		t.Fatal(err)
	}
	doc := load(t, raw)
	password := doc.Components.Schemas["Password"].Value
	if password.MinLength != 9 {
		t.Errorf("the minimum length of a password is %d, want 9", password.MinLength)
	}
	password.MinLength = load(t, api.OpenAPI()).Components.Schemas["Password"].Value.MinLength
	want, _ := json.Marshal(load(t, api.OpenAPI()))
	if got, err := json.Marshal(doc); err != nil || string(got) != string(want) {
		t.Errorf("the description with another limit differs in more than the limit, %v", err)
	}
}

// TestSchemasAreForGenerators checks what code generators need. An object without fields of its own says what it may contain. Otherwise
// openapi-typescript makes such an object empty. No field is read-only, because oapi-codegen makes such fields optional.
func TestSchemasAreForGenerators(t *testing.T) {
	t.Parallel()
	raw, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 15})
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	objects := 0
	eachObject(doc, "", func(at string, o map[string]any) {
		if o["readOnly"] != nil && !strings.HasSuffix(at, "/properties") {
			t.Errorf("%s is read-only", at)
		}
		isObject := o["type"] == "object"
		if types, ok := o["type"].([]any); ok {
			isObject = slices.Contains(types, any("object"))
		}
		if isObject && o["properties"] == nil {
			objects++
			if o["additionalProperties"] == nil {
				t.Errorf("%s does not say what it contains", at)
			}
		}
	})
	if objects < 4 {
		t.Errorf("%d objects without fields were found, want more", objects)
	}
}

// eachObject calls do for each JSON object in value, with its JSON pointer.
func eachObject(value any, at string, do func(at string, o map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		do(at, v)
		for name, member := range v {
			eachObject(member, at+"/"+name, do)
		}
	case []any:
		for i, item := range v {
			eachObject(item, at+"/"+strconv.Itoa(i), do)
		}
	}
}

func TestOperationsAreDescribed(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	eachOperation(t, func(t *testing.T, doc *openapi3.T, _ string, op *openapi3.Operation) {
		if op.OperationID == "" || ids[op.OperationID] {
			t.Errorf("operationId is %q: missing or a duplicate", op.OperationID)
		}
		ids[op.OperationID] = true
		if op.Summary == "" || op.Description == "" {
			t.Error("no summary or no description")
		}
		if len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
			t.Errorf("tags are %v, want one that the description declares", op.Tags)
		}
		if op.Parameters.GetByInAndName("header", "X-Request-Id") == nil {
			t.Error("no X-Request-Id")
		}
		for _, p := range op.Parameters {
			if p.Value.Description == "" || p.Value.Schema == nil {
				t.Errorf("parameter %s has no description or no schema", p.Value.Name)
			}
			// A page to try the API fills in examples, and an invented If-Match causes a 412.
			if !p.Value.Required && (p.Value.Example != nil || p.Value.Examples != nil) {
				t.Errorf("parameter %s is optional and has an example outside of its schema", p.Value.Name)
			}
		}
		if op.RequestBody != nil {
			for media, content := range op.RequestBody.Value.Content {
				checkExamples(t, media, content)
			}
		}
	})
}

// TestOperationsDescribeEveryResponse checks that each operation describes the responses that follow from its form.
func TestOperationsDescribeEveryResponse(t *testing.T) {
	t.Parallel()
	eachOperation(t, func(t *testing.T, _ *openapi3.T, path string, op *openapi3.Operation) {
		want := []int{500}
		if op.Security == nil { // the default of the description: a bearer token
			want = append(want, 401, 503)
		}
		if op.RequestBody != nil {
			want = append(want, 400, 413, 415, 503)
		}
		if op.RequestBody != nil && op.RequestBody.Value.Content.Get("application/x-www-form-urlencoded") == nil { // forms have no rules
			want = append(want, 422)
		}
		if strings.Contains(path, "{id}") {
			want = append(want, 400, 403)
		}
		if strings.Contains(path, "{id}") && op.OperationID != "changePassword" { // the caller's own account always exists
			want = append(want, 404)
		}
		if op.Parameters.GetByInAndName("header", "If-Match") != nil {
			want = append(want, 412)
		}
		switch p := op.Parameters; {
		case p.GetByInAndName("header", "If-None-Match") == nil:
		case strings.HasPrefix(op.OperationID, "get"), p.GetByInAndName("header", "If-Match") == nil: // it only reads
			want = append(want, 304)
		default:
			want = append(want, 412)
		}
		for _, status := range want {
			if op.Responses.Status(status) == nil {
				t.Errorf("no response %d", status)
			}
		}
		statuses := slices.Collect(maps.Keys(op.Responses.Map()))
		if !slices.ContainsFunc(statuses, func(status string) bool { return status[0] == '2' }) {
			t.Errorf("the responses are %v, want a successful one", statuses)
		}
	})
}

func TestResponsesAreDescribed(t *testing.T) {
	t.Parallel()
	headers := map[int][]string{
		http.StatusCreated: {"Location", "ETag"}, http.StatusNotModified: {"ETag"},
		http.StatusUnauthorized: {"WWW-Authenticate"}, http.StatusServiceUnavailable: {"Retry-After"},
	}
	eachOperation(t, func(t *testing.T, _ *openapi3.T, path string, op *openapi3.Operation) {
		for text, response := range op.Responses.Map() {
			status, err := strconv.Atoi(text)
			if err != nil {
				t.Errorf("response %q is not a status", text)
			}
			required := append([]string{"X-Request-Id"}, headers[status]...)
			if op.OperationID == "addFactor" { // a factor can't be read alone
				required = required[:1]
			}
			for _, name := range required {
				if h := response.Value.Headers[name]; h == nil || !h.Value.Required {
					t.Errorf("response %d: %s is missing or not required", status, name)
				}
			}
			for media, content := range response.Value.Content {
				checkExamples(t, text, content)
				if problem := media == "application/problem+json"; problem != (status >= 400) && path != "/readyz" {
					t.Errorf("response %d has the media type %s", status, media)
				}
			}
		}
	})
}

// TestProblemsHaveExamples requires an example of each type of problem, in a response with its status.
func TestProblemsHaveExamples(t *testing.T) {
	t.Parallel()
	const elsewhere = "/problems/method-not-allowed" // the response to an unknown operation
	doc := load(t, api.OpenAPI())
	shown := map[any]bool{elsewhere: true}
	for name, response := range doc.Components.Responses {
		content := response.Value.Content.Get("application/problem+json")
		if content == nil {
			continue
		}
		for _, example := range content.Examples {
			shown[example.Value.Value.(map[string]any)["type"]] = true
		}
		if len(content.Examples) == 0 {
			t.Errorf("response %s has no example", name)
		}
	}
	for _, problem := range doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum {
		if !shown[problem] {
			t.Errorf("no response has an example of %s", problem)
		}
	}
}

func checkExamples(t *testing.T, name string, content *openapi3.MediaType) {
	t.Helper()
	if content.Example == nil && len(content.Examples) == 0 {
		t.Errorf("%s: no example", name)
	}
	if content.Schema == nil {
		t.Errorf("%s: no schema", name)
	}
	for key, example := range content.Examples {
		value, isObject := example.Value.Value.(map[string]any)
		if status, isProblem := value["status"].(float64); isObject && isProblem && strconv.Itoa(int(status)) != name {
			t.Errorf("response %s: the example %s has the status %v", name, key, status)
		}
	}
}
