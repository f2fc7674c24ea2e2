package config_test

import (
	"crypto/rand"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/config"
)

var update = flag.Bool("update", false, "write the generated texts to .env.example, docs/configuration.md and the chart")

const (
	envExample = "../../.env.example"
	page       = "../../docs/configuration.md"
	schema     = "../../charts/user-service/generated/config.json"
	begin      = "<!-- config:begin -->\n"
	end        = "<!-- config:end -->"
)

func TestEnvExampleIsUpToDate(t *testing.T) {
	t.Parallel()
	want := config.EnvExample(config.Describe(&config.Config{}))
	compare(t, envExample, func(string) string { return want })
}

// TestSchemaOfTheChartIsUpToDate checks the schema with which the chart checks its value config.
func TestSchemaOfTheChartIsUpToDate(t *testing.T) {
	t.Parallel()
	compare(t, schema, func(string) string { return config.ChartSchema(&config.Config{}) })
}

func TestTheReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	compare(t, page, func(text string) string {
		before, rest, begun := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !begun || !ended {
			t.Fatalf("%s has no %q and %q around the variables", page, begin, end)
		}
		return before + begin + config.Markdown(config.Describe(&config.Config{})) + end + after
	})
}

// compare fails the test if a file differs from the generated text. With -update it writes the text to the file.
func compare(t *testing.T, path string, generate func(string) string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := generate(string(content))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s differs from the structs; run: go test ./pkg/config -update (-want +got):\n%s", path, diff)
	}
}

// TestEnvExampleCanBeLoaded checks that an unchanged copy of .env.example sets no variable. It also checks that the file is a valid
// environment after all its lines are uncommented and JWT_SECRET is set.
func TestEnvExampleCanBeLoaded(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for line := range strings.Lines(config.EnvExample(config.Describe(&config.Config{}))) {
		line = strings.TrimSpace(line)
		name, value, assigned := strings.Cut(line, "=")
		if name == "" || !assigned || strings.HasPrefix(line, "# ") {
			continue
		}
		if !strings.HasPrefix(line, "#") {
			t.Errorf("%s has a value, but a copy of the file must set no variable", name)
		}
		env[strings.TrimPrefix(name, "#")] = value
	}
	if env["JWT_SECRET"] != "" {
		t.Errorf("JWT_SECRET has a published value: %s", env["JWT_SECRET"])
	}
	env["JWT_SECRET"] = rand.Text() + rand.Text()
	cfg := mustLoad(t, env)
	if want := len(config.Describe(&cfg)) + 1; len(env) != want { // the additional one is OTEL_EXPORTER_OTLP_ENDPOINT
		t.Errorf("%d variables are in the file, want %d", len(env), want)
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	for _, v := range config.Describe(&config.Config{}) {
		if !strings.HasSuffix(v.Description, ".") || v.Accepts == "" || v.Group == "" || v.Example == "" && !v.Secret {
			t.Errorf("the description of %s is incomplete: %+v", v.Name, v)
		}
		if strings.Contains(v.Description+v.Accepts, "|") {
			t.Errorf("the text of %s would break its table: %+v", v.Name, v)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	vars := []config.Variable{
		{Name: "KEY", Group: "Doors", Required: true, File: true, Accepts: "a text", Description: "Opens."},
		{Name: "SPARE", Group: "Doors", File: true, Accepts: "a text", Description: "Opens too."},
		{Name: "TRIES", Group: "Guards", Default: "3", Accepts: "a whole number", Description: "Try."},
	}
	const want = `
## Doors

| Variable | Default | Value | |
| --- | --- | --- | --- |
| ` + "`KEY` or `KEY_FILE`" + ` | **required** | a text | Opens. |
| ` + "`SPARE` or `SPARE_FILE`" + ` |  | a text | Opens too. |

## Guards

| Variable | Default | Value | |
| --- | --- | --- | --- |
| ` + "`TRIES` | `3`" + ` | a whole number | Try. |

`
	if diff := cmp.Diff(want, config.Markdown(vars)); diff != "" {
		t.Errorf("the sections differ (-want +got):\n%s", diff)
	}
}
