package consistency_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const claimsPage = "docs/claims.md"

// firstCells returns the names in the first column of the table in a section of docs/claims.md, sorted.
func firstCells(t *testing.T, heading string) (names []string) {
	t.Helper()
	_, section, found := strings.Cut(read(t, claimsPage), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %s", claimsPage, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

// TestTheReferenceHasEveryClaim compares docs/claims.md with the claims that pkg/token reads. The service issues all of them except nbf.
func TestTheReferenceHasEveryClaim(t *testing.T) {
	t.Parallel()
	var claims []string
	for _, m := range regexp.MustCompile("`json:\"(\\w+)\"`").FindAllStringSubmatch(read(t, "pkg/token/claims.go"), -1) {
		if m[1] != "nbf" {
			claims = append(claims, m[1])
		}
	}
	slices.Sort(claims)
	if diff := cmp.Diff(claims, firstCells(t, "Claims of an access token")); diff != "" {
		t.Errorf("claims (-code +docs): %s", diff)
	}
}

// TestTheReferenceHasTheHeadersOfVerify compares docs/claims.md with api/openapi.yaml.
func TestTheReferenceHasTheHeadersOfVerify(t *testing.T) {
	t.Parallel()
	var description struct {
		Paths struct {
			Verify struct {
				Get struct {
					Responses map[string]struct{ Headers map[string]any }
				}
			} `yaml:"/verify"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "api/openapi.yaml")), &description); err != nil {
		t.Fatal(err)
	}
	var headers []string
	for name := range description.Paths.Verify.Get.Responses["204"].Headers {
		if strings.HasPrefix(name, "X-User-") {
			headers = append(headers, name)
		}
	}
	slices.Sort(headers)
	if diff := cmp.Diff(headers, firstCells(t, "Headers of /verify")); diff != "" {
		t.Errorf("headers (-description +docs): %s", diff)
	}
}
