package consistency_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"user-service/pkg/token"
)

const validation = "charts/user-service/templates/_validate.tpl"

// TestRepeatedLimitsAreEqual compares limits that are stated in several places, because packages, templates and descriptions cannot share a
// constant.
func TestRepeatedLimitsAreEqual(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]any{
		"bytes of a secret, config": {number(t, "pkg/token", "MinSecretBytes"), number(t, "pkg/config", "minSecretBytes")},
		"bytes of a secret, chart":  {fmt.Sprint(token.MinSecretBytes), match(t, validation, `lt \$size (\d+)`)},
		"bytes of a secret, chart's message": {
			fmt.Sprint(token.MinSecretBytes), match(t, validation, `needs at least (\d+)`),
		},
		"work of a hash, description": {
			fmt.Sprint(number(t, "pkg/password", "MaxWorkKiB")),
			match(t, "pkg/config/descriptions.go", `ARGON2_ITERATIONS must be at most (\d+)`),
		},
		"work of a hash, config": {number(t, "pkg/password", "MaxWorkKiB"), number(t, "pkg/config", "maxWorkKiB")},
		"bytes of a sub":         {number(t, "pkg/workload", "maxSubject"), number(t, "pkg/config", "maxWorkloadSubject")},
		"form of a role's name": {
			match(t, "pkg/user/roles.go", "roleName += regexp.MustCompile\\(`\\^([^`]+)\\$`"),
			match(t, "pkg/config/workloads.go", "workloadRoleForm = `([^`]+)`"),
		},
		"form of a role's name, chart": {
			match(t, "pkg/user/roles.go", "roleName += regexp.MustCompile\\(`([^`]+)`"),
			match(t, "charts/user-service/templates/_workloads.tpl", `regexMatch "(\^\[a-z0-9\]\[a-z0-9_\.-\][^"]+)" \.`),
		},
		"memory of a hash, chart": {
			defaultOf(t, "ARGON2_MEMORY_KIB"), match(t, validation, `default (\d+) \$v\.config\.ARGON2_MEMORY_KIB`),
		},
		"time of the shutdown, chart": {
			defaultOf(t, "SHUTDOWN_TIMEOUT"), match(t, validation, `default "(\w+)" \.config\.SHUTDOWN_TIMEOUT`),
		},
		"delay of the shutdown, chart": {
			defaultOf(t, "SHUTDOWN_DELAY"), match(t, validation, `default "(\w+)" \.config\.SHUTDOWN_DELAY`),
		},
		"characters of a password, at least": {
			fmt.Sprint(number(t, "pkg/password", "MinLengthFloor")),
			bound(t, "PASSWORD_MIN_LENGTH", "min"),
		},
		"memory of a hash, its limit": {fmt.Sprint(number(t, "pkg/password", "maxMemoryKiB")), bound(t, "ARGON2_MEMORY_KIB", "max")},
		"iterations of a hash": {
			fmt.Sprint(number(t, "pkg/password", "maxIterations")),
			bound(t, "ARGON2_ITERATIONS", "max"),
		},
		"lanes of a hash": {
			fmt.Sprint(number(t, "pkg/password", "maxParallelism")),
			bound(t, "ARGON2_PARALLELISM", "max"),
		},
		"characters of a password, at most": {fmt.Sprint(number(t, "pkg/password", "MaxLength")), bound(t, "PASSWORD_MIN_LENGTH", "max")},
		"routes with a hash, chart": {
			match(t, "tools/dashboards/service.go", "hashing = `([^`]+)`"),
			match(t, "charts/user-service/templates/prometheusrule.yaml", `\$hashing := "([^"]+)"`),
		},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	routes := match(t, "tools/dashboards/service.go", "hashing = `([^`]+)`")
	for route := range strings.SplitSeq(routes, "|") {
		if !strings.Contains(read(t, "api/openapi.yaml"), "\n  "+route+":\n") {
			t.Errorf("no route %s", route)
		}
	}
}

// TestTheDescriptionHasTheLimitsOfTheCode compares length limits in api/openapi.yaml with constants.
func TestTheDescriptionHasTheLimitsOfTheCode(t *testing.T) {
	t.Parallel()
	var description struct {
		Components struct{ Schemas map[string]limited }
	}
	if err := yaml.Unmarshal([]byte(read(t, "api/openapi.yaml")), &description); err != nil {
		t.Fatal(err)
	}
	schemas := description.Components.Schemas
	for name, pair := range map[string]struct {
		got  float64
		want float64
	}{
		"Email":             {schemas["Email"].MaxLength, number(t, "pkg/user", "MaxEmailBytes")},
		"User.email":        {schemas["User"].Properties["email"].MaxLength, number(t, "pkg/user", "MaxEmailBytes")},
		"Name":              {schemas["Name"].MaxLength, number(t, "pkg/user", "MaxNameLength")},
		"User.name":         {schemas["User"].Properties["name"].MaxLength, number(t, "pkg/user", "MaxNameLength")},
		"Picture":           {schemas["Picture"].MaxLength, number(t, "pkg/user", "MaxPictureBytes")},
		"User.picture":      {schemas["User"].Properties["picture"].MaxLength, number(t, "pkg/user", "MaxPictureBytes")},
		"Locale":            {schemas["Locale"].MaxLength, number(t, "pkg/user", "MaxLocaleBytes")},
		"User.locale":       {schemas["User"].Properties["locale"].MaxLength, number(t, "pkg/user", "MaxLocaleBytes")},
		"User.roles":        {schemas["User"].Properties["roles"].MaxItems, number(t, "pkg/user", "maxRoles")},
		"UserPage.items":    {schemas["UserPage"].Properties["items"].MaxItems, number(t, "pkg/httpapi", "maxLimit")},
		"SessionList.items": {schemas["SessionList"].Properties["items"].MaxItems, number(t, "pkg/user", "MaxSessions")},
		"Problem.errors":    {schemas["Problem"].Properties["errors"].MaxItems, number(t, "pkg/user", "maxFieldErrors")},
	} {
		if pair.got != pair.want {
			t.Errorf("%s: the description has %v, and the code %v", name, pair.got, pair.want)
		}
	}
}

// limited is a schema of OpenAPI.
type limited struct {
	MaxLength  float64            `yaml:"maxLength"`
	MaxItems   float64            `yaml:"maxItems"`
	Properties map[string]limited `yaml:"properties"`
}

// TestEachPageHasTheTimeOfAChangedSecret checks that each page says when a changed secret takes effect: within 15 s after its file has
// changed.
func TestEachPageHasTheTimeOfAChangedSecret(t *testing.T) {
	t.Parallel()
	for file, text := range map[string]string{
		"docs/runbooks/UserServiceSecretRejected.md": "within 15 s after the file has a valid value",
		"docs/runbooks/UserServiceBrokerAway.md":     "within two and a half minutes",
		"docs/runbooks/UserServiceKeyNearItsEnd.md":  "within two and a half minutes",
		"docs/operations.md":                         "15 s after the file has changed",
		"docs/security/rotation.md":                  "15 s after the file has changed",
		"charts/user-service/README.md":              "15 s after its file has changed",
		"tilt/actions":                               "15 s after the file has changed",
	} {
		if !strings.Contains(read(t, file), text) {
			t.Errorf("%s does not contain %q", file, text)
		}
	}
}

// bound returns the minimum or the maximum of a configuration variable. which is min or max.
func bound(t *testing.T, variable, which string) string {
	t.Helper()
	return match(t, "pkg/config/config.go", `env:"`+variable+`[^`+"`"+`]* `+which+`:"(\d+)"`)
}

// TestTheDatabaseMeasuresPermissionsAsTokensDo checks the number of bytes that a permission needs in addition to its name. SQL must add the
// same number as package token.
func TestTheDatabaseMeasuresPermissionsAsTokensDo(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile(`octet_length\(p\) \+ (\d+)`).FindAllStringSubmatch(read(t, "pkg/postgres/roles.go"), -1)
	for _, overhead := range found {
		if want := fmt.Sprint(token.Size([]string{""})); overhead[1] != want {
			t.Errorf("SQL adds %s bytes, a token %s", overhead[1], want)
		}
	}
	if len(found) != 2 {
		t.Errorf("%d statements measure permissions, want 2", len(found))
	}
}

// TestLabelsAreProblemTypes compares the values of the labels result and policy with the codes and policies that the service
// uses.
func TestLabelsAreProblemTypes(t *testing.T) {
	t.Parallel()
	domain := read(t, "pkg/user/error.go")
	for _, results := range []string{"loginResults", "refreshResults"} {
		for _, result := range texts(t, "pkg/telemetry", results) {
			if result != "success" && !strings.Contains(domain, `"`+result+`"`) {
				t.Errorf("%s: no code %s", results, result)
			}
		}
	}
	var used []string
	for _, folder := range []string{"pkg/httpapi", "pkg/user"} {
		eachFile(t, folder, ".go", func(name, text string) {
			if strings.HasSuffix(name, "_test.go") {
				return
			}
			for _, m := range regexp.MustCompile(`(?:Policy: |policy :?= |RateLimited\()"([a-z]+)"`).FindAllStringSubmatch(text, -1) {
				used = append(used, m[1])
			}
			for _, prefix := range regexp.MustCompile(`newAddressQuota\("([a-z-]*)"`).FindAllStringSubmatch(text, -1) {
				used = append(used, prefix[1]+"address", prefix[1]+"network")
			}
		})
	}
	slices.Sort(used)
	if diff := cmp.Diff(slices.Compact(used), texts(t, "pkg/telemetry", "policies")); diff != "" {
		t.Errorf("policies (-used +labels): %s", diff)
	}
}
