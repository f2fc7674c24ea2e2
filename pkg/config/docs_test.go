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

var update = flag.Bool("update", false, "write the generated texts to .env.example, README.md and the chart")

const (
	envExample = "../../.env.example"
	readme     = "../../README.md"
	schema     = "../../charts/user-service/generated/config.json"
	begin      = "<!-- config:begin -->\n"
	end        = "<!-- config:end -->"
)

func TestEnvExampleIsUpToDate(t *testing.T) {
	t.Parallel()
	want := config.EnvExample(config.Describe(&config.Config{}))
	compare(t, envExample, func(string) string { return want })
}

// The chart checks its value config against this schema.
func TestSchemaOfTheChartIsUpToDate(t *testing.T) {
	t.Parallel()
	compare(t, schema, func(string) string { return config.ChartSchema(&config.Config{}) })
}

func TestReadmeIsUpToDate(t *testing.T) {
	t.Parallel()
	compare(t, readme, func(text string) string {
		before, rest, begun := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !begun || !ended {
			t.Fatalf("%s has no %q and %q around the table of variables", readme, begin, end)
		}
		return before + begin + config.Markdown(config.Describe(&config.Config{})) + end + after
	})
}

// compare fails if the file differs from the generated text. With -update it writes the file.
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

// TestEnvExampleCanBeLoaded checks that a copy of .env.example is a valid environment once it has a secret.
func TestEnvExampleCanBeLoaded(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for line := range strings.Lines(config.EnvExample(config.Describe(&config.Config{}))) {
		line = strings.TrimSpace(line)
		name, value, assigned := strings.Cut(line, "=")
		if name == "" || !assigned || strings.HasPrefix(line, "# ") {
			continue
		}
		env[strings.TrimPrefix(name, "#")] = value // includes the commented defaults
	}
	if env["JWT_SECRET"] != "" {
		t.Errorf("JWT_SECRET has a published value: %s", env["JWT_SECRET"])
	}
	env["JWT_SECRET"] = rand.Text() + rand.Text()
	cfg := mustLoad(t, env)
	if want := len(config.Describe(&cfg)) + 1; len(env) != want { // one more: OTEL_EXPORTER_OTLP_ENDPOINT
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
			t.Errorf("the text of %s would break the table in the README: %+v", v.Name, v)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	vars := []config.Variable{
		{Name: "KEY", Required: true, File: true, Accepts: "a text", Description: "Opens."},
		{Name: "SPARE", File: true, Accepts: "a text", Description: "Opens too."},
		{Name: "TRIES", Default: "3", Accepts: "a whole number", Description: "Try."},
	}
	const want = `| Variable | Default | Value | |
| --- | --- | --- | --- |
| ` + "`KEY` or `KEY_FILE`" + ` | **required** | a text | Opens. |
| ` + "`SPARE` or `SPARE_FILE`" + ` |  | a text | Opens too. |
| ` + "`TRIES` | `3`" + ` | a whole number | Try. |
| ` + "`OTEL_*`" + ` | | as OpenTelemetry defines them | Traces, sent if ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` is set. |
`
	if diff := cmp.Diff(want, config.Markdown(vars)); diff != "" {
		t.Errorf("the table differs (-want +got):\n%s", diff)
	}
}
