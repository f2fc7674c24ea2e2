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

var update = flag.Bool("update", false, "write what is made from the structs to .env.example and README.md")

const (
	envExample = "../../.env.example"
	readme     = "../../README.md"
	begin      = "<!-- config:begin -->\n"
	end        = "<!-- config:end -->"
)

func TestEnvExampleIsUpToDate(t *testing.T) {
	t.Parallel()
	want := config.EnvExample(config.Describe(&config.Config{}))
	hold(t, envExample, func(string) string { return want })
}

func TestReadmeIsUpToDate(t *testing.T) {
	t.Parallel()
	hold(t, readme, func(text string) string {
		before, rest, begun := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !begun || !ended {
			t.Fatalf("%s has no place for the table of variables between %q and %q", readme, begin, end)
		}
		return before + begin + config.Markdown(config.Describe(&config.Config{})) + end + after
	})
}

// hold fails unless the file is what it should be; with -update it makes it so.
func hold(t *testing.T, path string, should func(string) string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := should(string(content))
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

// Whoever copies .env.example to .env and makes a secret can start the service.
func TestEnvExampleCanBeLoaded(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for line := range strings.Lines(config.EnvExample(config.Describe(&config.Config{}))) {
		line = strings.TrimSpace(line)
		name, value, assigned := strings.Cut(line, "=")
		if name == "" || !assigned || strings.HasPrefix(line, "# ") {
			continue
		}
		env[strings.TrimPrefix(name, "#")] = value // the commented defaults too
	}
	if env["JWT_SECRET"] != "" {
		t.Errorf("JWT_SECRET has a published value: %s", env["JWT_SECRET"])
	}
	env["JWT_SECRET"] = rand.Text() + rand.Text()
	cfg := mustLoad(t, env)
	if want := len(config.Describe(&cfg)) + 1; len(env) != want { // and OTEL_EXPORTER_OTLP_ENDPOINT
		t.Errorf("%d variables are in the file, want %d", len(env), want)
	}
}

func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	for _, v := range config.Describe(&config.Config{}) {
		if !strings.HasSuffix(v.Description, ".") || v.Accepts == "" || v.Group == "" || v.Example == "" && !v.Secret {
			t.Errorf("the tags of %s say too little: %+v", v.Name, v)
		}
		if strings.Contains(v.Description+v.Accepts, "|") {
			t.Errorf("the text of %s would break the table in the README: %+v", v.Name, v)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	var settings struct {
		Key     config.Secret `env:"KEY, required" is:"a text" desc:"Opens."`
		Spare   config.Secret `env:"SPARE" is:"a text" desc:"Opens too."`
		Workers int           `env:"WORKERS, default=4" desc:"Work."`
		Tries   uint8         `env:"TRIES, default=3" min:"1" max:"9" desc:"Try."`
	}
	const want = `| Variable | Default | Value | |
| --- | --- | --- | --- |
| ` + "`KEY` or `KEY_FILE`" + ` | **required** | a text | Opens. |
| ` + "`SPARE` or `SPARE_FILE`" + ` |  | a text | Opens too. |
| ` + "`WORKERS` | `4`" + ` | a whole number | Work. |
| ` + "`TRIES` | `3`" + ` | a whole number from 1 to 9 | Try. |
| ` + "`OTEL_*`" + ` | | as OpenTelemetry defines them | Traces, sent if ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` is set. |
`
	if diff := cmp.Diff(want, config.Markdown(config.Describe(&settings))); diff != "" {
		t.Errorf("the table differs (-want +got):\n%s", diff)
	}
}
