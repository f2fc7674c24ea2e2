package chart_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheREADMEIsGeneratedFromTheValues(t *testing.T) {
	t.Parallel()
	want := run(t, nil, "helm-docs", "--dry-run", "--chart-search-root", chart, "--log-level", "warning")
	got := string(read(t, chart+"/README.md"))
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Error("charts/user-service/README.md differs from values.yaml: run .bin/helm-docs --chart-search-root charts/user-service")
	}
}

func TestEveryValueIsDescribed(t *testing.T) {
	t.Parallel()
	for _, line := range undescribed(string(read(t, chart+"/values.yaml"))) {
		t.Errorf("values.yaml: %s has no comment that begins with # --", line)
	}
}

// undescribed returns the lines with a value that has no helm-docs comment above. Members of a value, such as the policies of a
// behavior, need no comment.
func undescribed(values string) []string {
	var lines []string
	described, within := false, -1
	for line := range strings.Lines(values) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		switch {
		case text == "":
			described = false
		case strings.HasPrefix(text, "# --"):
			described, within = true, -1
		case strings.HasPrefix(text, "#"), within >= 0 && indent > within:
		default:
			if !described && !strings.HasSuffix(text, ":") {
				lines = append(lines, text)
			}
			within = -1
			if described {
				within = indent
			}
			described = false
		}
	}
	return lines
}

func TestTheSchemaAndTheValuesHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	values := parse[map[string]any](t, read(t, chart+"/values.yaml"))
	schema := parse[map[string]any](t, read(t, chart+"/values.schema.json"))
	definitions, _ := schema["$defs"].(map[string]any)
	compare(t, "", values, schema, definitions)
}

// compare compares the members of values.yaml and values.schema.json. It stops at an object whose members the schema does not list, because
// users choose its keys, as in config.
func compare(t *testing.T, path string, value any, schema, definitions map[string]any) {
	t.Helper()
	if reference, ok := schema["$ref"].(string); ok {
		schema, _ = definitions[strings.TrimPrefix(reference, "#/$defs/")].(map[string]any)
		if schema == nil {
			t.Fatalf("values.schema.json refers to %s, which it does not define", reference)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	members, isMap := value.(map[string]any)
	if properties == nil || !isMap || kubernetes(path) {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("values.schema.json allows additional properties at %q", path)
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		sub, ok := properties[key].(map[string]any)
		if !ok {
			t.Errorf("values.yaml has %s%s, and values.schema.json does not", path, key)
			continue
		}
		compare(t, path+key+".", members[key], sub, definitions)
	}
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		if _, ok := members[key]; !ok {
			t.Errorf("values.schema.json has %s%s, and values.yaml does not", path, key)
		}
	}
}

// kubernetes reports whether a value is a Kubernetes object, whose members need no default.
func kubernetes(path string) bool {
	return strings.HasSuffix(path, "resources.") || strings.HasSuffix(path, "Probe.") || path == "autoscaling.behavior."
}

// valuePath matches .Values.key, and $v.key where $v is .Values.
var valuePath = regexp.MustCompile(`(?:\.Values|\$v)\.([a-zA-Z]+)`)

// valueName matches a name in a list of values, which a template reads with get.
var valueName = regexp.MustCompile(`"([a-zA-Z]+)"`)

func TestTemplatesUseOnlyExistingValues(t *testing.T) {
	t.Parallel()
	values := parse[map[string]any](t, read(t, chart+"/values.yaml"))
	files, err := filepath.Glob(chart + "/templates/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no templates", err)
	}
	used := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range valuePath.FindAllStringSubmatch(string(text), -1) {
			used[match[1]] = true
			if _, ok := values[match[1]]; !ok {
				t.Errorf("%s uses .Values.%s, which values.yaml does not have", file, match[1])
			}
		}
		for _, match := range valueName.FindAllStringSubmatch(string(text), -1) {
			used[match[1]] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !used[key] && key != "enabled" { // only a parent chart uses the value enabled
			t.Errorf("values.yaml has %s, which no template uses", key)
		}
	}
}
