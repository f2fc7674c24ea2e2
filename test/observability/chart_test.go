package observability_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The release that the tests render.
const (
	namespace = "identity"
	release   = "user-service"
)

// alert is an alert or a recording rule.
type alert struct {
	Alert, Record, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// render returns the output of one template. set are values in JSON, by name.
func render(t *testing.T, template string, set ...string) string {
	t.Helper()
	return renderIn(t, namespace, template, set...)
}

func renderIn(t *testing.T, namespace, template string, set ...string) string {
	t.Helper()
	args := []string{
		"template", release, chart, "--namespace", namespace, "--show-only", "templates/" + template,
		"--set",
		"prometheusRule.enabled=true,dashboards.enabled=true,database.existingSecret=a,rabbitmq.existingSecret=b,jwt.existingSecret=c",
	}
	for _, value := range set {
		args = append(args, "--set-json", value)
	}
	return tool(t, "helm", args...)
}

// ruleFile writes the rules of a release with a mailer in Prometheus' format, and returns the file's path and the rules.
func ruleFile(t *testing.T) (string, []alert) {
	t.Helper()
	return ruleFileOf(t, namespace)
}

func ruleFileOf(t *testing.T, namespace string) (string, []alert) {
	t.Helper()
	return writeRules(t, renderIn(t, namespace, "prometheusrule.yaml", `mailer={"enabled":true,"from":"shop@example.com",`+
		`"linksBaseURL":"https://shop.example.com","smtp":{"existingSecret":"d"},"rabbitmq":{"existingSecret":"e"}}`))
}

// writeRules writes the rules of a PrometheusRule.
func writeRules(t *testing.T, object string) (string, []alert) {
	t.Helper()
	var parsed struct {
		Spec struct{ Groups []struct{ Rules []alert } }
	}
	var raw struct{ Spec any }
	for _, into := range []any{&parsed, &raw} {
		if err := yaml.Unmarshal([]byte(object), into); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := json.Marshal(raw.Spec)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	var rules []alert
	for _, group := range parsed.Spec.Groups {
		rules = append(rules, group.Rules...)
	}
	return path, rules
}

// dashboard is the tested part of a Grafana dashboard.
type dashboard struct {
	UID, Title, Description string
	Tags                    []string
	SchemaVersion           int
	Editable                bool
	Links                   []struct {
		Type, URL string
		Tags      []string
	}
	Annotations struct {
		List []struct {
			Name, IconColor string
			Enable          bool
			Target          struct{ Expr string }
		}
	}
	Templating struct {
		List []struct {
			Name, Type, AllValue string
		}
	}
	Panels []panel
}

// step is one color of a panel's thresholds.
type step struct {
	Color string
	Value *float64
}

// override sets properties of curves.
type override struct {
	Matcher    struct{ Options string }
	Properties []struct {
		ID    string
		Value any
	}
}

type panel struct {
	Type, Title, Description string
	Datasource               struct{ UID string }
	Links                    []struct{ URL string }
	GridPos                  struct{ Y, H int }
	Targets                  []struct {
		Expr       string
		Exemplar   bool
		Datasource struct{ UID string }
	}
	Options struct {
		Legend struct {
			DisplayMode string
			Calcs       []string
		}
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Color      struct{ Mode, FixedColor string }
			Custom     struct{ ThresholdsStyle struct{ Mode string } }
			Links      []struct{ URL string }
			Thresholds struct{ Steps []step }
		}
		Overrides []override
	}
	Panels []panel // the panels of a collapsed row
}

// dashboardFiles returns the JSON of the chart's dashboards, by file name.
func dashboardFiles(t *testing.T, set ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for document := range strings.SplitSeq(render(t, "dashboards.yaml", set...), "\n---\n") {
		var object struct{ Data map[string]string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		maps.Copy(out, object.Data)
	}
	return out
}

// dashboards returns the dashboards that the chart renders.
func dashboards(t *testing.T, set ...string) map[string]dashboard {
	t.Helper()
	out := map[string]dashboard{}
	for name, text := range dashboardFiles(t, set...) {
		if strings.Contains(text, "__THRESHOLD_") || strings.Contains(text, "__RUNBOOK_URL__") {
			t.Errorf("%s has a placeholder that the chart does not replace", name)
		}
		var d dashboard
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range d.Panels {
			d.Panels = append(d.Panels, p.Panels...)
		}
		out[name] = d
	}
	return out
}

// settings returns thresholds as values of the chart.
func settings(thresholds map[string]float64) []string {
	var out []string
	for name, value := range thresholds {
		out = append(out, fmt.Sprintf("prometheusRule.thresholds.%s=%v", name, value))
	}
	return out
}
