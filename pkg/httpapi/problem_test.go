package httpapi

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"user-service/api"
)

// TestProblemsAreDocumented compares the problem types of the code with api/openapi.yaml and docs/problems.md.
func TestProblemsAreDocumented(t *testing.T) {
	t.Parallel()
	coded := map[string]string{}
	for code, k := range problemTypes {
		coded["/problems/"+string(code)] = fmt.Sprint(k.status)
	}
	for name, documented := range map[string]map[string]string{
		"docs/problems.md": problemsOfPage(t), "the examples of api/openapi.yaml": problemsOfExamples(t),
	} {
		if diff := cmp.Diff(coded, documented); diff != "" {
			t.Errorf("the code (-) and %s (+) differ:\n%s", name, diff)
		}
	}
	schema := load(t).Components.Schemas["Problem"].Value.Properties["type"].Value
	listed := map[string]string{}
	for _, name := range schema.Enum {
		listed[name.(string)] = coded[name.(string)]
	}
	if diff := cmp.Diff(coded, listed); diff != "" {
		t.Errorf("the code (-) and the schema of api/openapi.yaml (+) differ:\n%s", diff)
	}
}

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// problemsOfPage returns the status of each type in the table of docs/problems.md.
func problemsOfPage(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(/problems/[a-z-]+)` \\| (\\d+) \\|").FindAllStringSubmatch(string(page), -1) {
		found[row[1]] = row[2]
	}
	return found
}

// problemsOfExamples returns the status of each type in the examples of api/openapi.yaml, and compares their titles with the code. No
// operation has a 405, because only methods without an operation get it.
func problemsOfExamples(t *testing.T) map[string]string {
	t.Helper()
	titles := map[any]string{}
	for code, k := range problemTypes {
		titles["/problems/"+string(code)] = k.title
	}
	found := map[string]string{"/problems/method-not-allowed": "405"}
	for name, example := range load(t).Components.Examples {
		value := example.Value.Value.(map[string]any)
		problem, ok := value["type"].(string)
		if !ok {
			continue
		}
		found[problem] = fmt.Sprint(value["status"])
		if value["title"] != titles[problem] {
			t.Errorf("example %s has the title %q, want %q as in the code", name, value["title"], titles[problem])
		}
	}
	return found
}
