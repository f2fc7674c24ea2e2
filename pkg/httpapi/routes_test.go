package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

// TestRoutesAreThoseOfTheContract compares the table of routes with api/openapi.yaml, including whether a route needs a token.
func TestRoutesAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	var coded, written []string
	a := &API{cfg: Config{DocsEnabled: true}}
	for _, r := range a.routes() {
		path := paramName.ReplaceAllString(r.path, "{$1}")
		if path == "/" || path == "/docs/{file}" || strings.HasPrefix(path, "/verify") && r.method != http.MethodGet {
			continue // the contract lists neither the redirect, the files of the page nor the other methods of verify
		}
		coded = append(coded, line(r.method, path, r.rule.Anonymous()))
	}
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			written = append(written, line(method, path, isAnonymous(op)))
		}
	}
	slices.Sort(coded)
	slices.Sort(written)
	if diff := cmp.Diff(written, coded); diff != "" {
		t.Errorf("api/openapi.yaml (-) and the routes (+) differ:\n%s", diff)
	}
}

// isAnonymous reports whether an operation needs no token.
func isAnonymous(op *openapi3.Operation) bool {
	return op.Security != nil && (len(*op.Security) == 0 ||
		slices.ContainsFunc(*op.Security, func(s openapi3.SecurityRequirement) bool { return len(s) == 0 }))
}

func line(method, path string, anonymous bool) string {
	if anonymous {
		return strings.Join([]string{method, path, "for anyone"}, " ")
	}
	return strings.Join([]string{method, path, "with a token"}, " ")
}
