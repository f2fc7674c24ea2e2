package observability_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestDashboardsAreComplete(t *testing.T) {
	t.Parallel()
	all := dashboards(t)
	if len(all) != 3 {
		t.Errorf("the chart has %d dashboards, want 3", len(all))
	}
	for name, d := range all {
		lintDashboard(t, name, d)
		titles := map[string]bool{}
		for _, p := range d.Panels {
			if p.Type == "row" {
				continue
			}
			if titles[p.Title] {
				t.Errorf("%s has two panels %q", name, p.Title)
			}
			titles[p.Title] = true
			lintPanel(t, name+": "+p.Title, p)
		}
	}
}

func lintDashboard(t *testing.T, name string, d dashboard) {
	t.Helper()
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if !slices.Equal(variables, []string{"datasource", "namespace", "job", "pod"}) {
		t.Errorf("%s has the variables %v", name, variables)
	}
	if d.UID != strings.TrimSuffix(name, ".json") || d.Title == "" || d.Description == "" || !slices.Contains(d.Tags, "user-service") {
		t.Errorf("%s: uid %q, title %q, description %q, tags %v", name, d.UID, d.Title, d.Description, d.Tags)
	}
	if len(d.Links) != 2 || d.Links[0].Type != "dashboards" || !strings.HasSuffix(d.Links[1].URL, "/docs/runbooks/") {
		t.Errorf("%s links to %v, not to the other dashboards and the runbooks", name, d.Links)
	}
}

func lintPanel(t *testing.T, name string, p panel) {
	t.Helper()
	if p.Title == "" || !strings.ContainsAny(p.Description, ".?") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
		t.Errorf("%s: description %q, unit %q, %d queries", name, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
	}
	for _, target := range p.Targets {
		if p.Datasource.UID != "${datasource}" || target.Datasource.UID != "${datasource}" {
			t.Errorf("%s uses a different data source", name)
		}
		if !strings.Contains(target.Expr, `namespace="$namespace",job="$job"`) &&
			!strings.Contains(target.Expr, `namespace="$namespace",job="$job-mailer"`) {
			t.Errorf("%s also selects other releases: %s", name, target.Expr)
		}
	}
}

// checkBurnRates checks that each threshold line of a panel is the threshold of an alert. It returns the number of lines.
func checkBurnRates(t *testing.T, p panel, budget float64, rules []alert) int {
	t.Helper()
	steps := p.FieldConfig.Defaults.Thresholds.Steps[1:]
	for _, step := range steps {
		limit := fmt.Sprintf("> %.6f\n", *step.Value*budget)
		if !slices.ContainsFunc(rules, func(r alert) bool {
			return r.Alert != "" && strings.HasSuffix(p.Links[0].URL, "/"+r.Alert+".md") && strings.Contains(r.Expr, limit)
		}) {
			t.Errorf("%s has a line at %v, which is not a threshold of an alert", p.Title, *step.Value)
		}
	}
	return len(steps)
}

// A changed threshold of an alert must appear in the dashboards.
func TestThresholdsMatchTheAlerts(t *testing.T) {
	t.Parallel()
	var values struct {
		PrometheusRule struct{ Thresholds map[string]float64 } `yaml:"prometheusRule"`
	}
	text := tool(t, "helm", "show", "values", chart)
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	drawn := 0
	for _, changed := range []map[string]float64{
		values.PrometheusRule.Thresholds,
		{"outboxAgeSeconds": 77, "latencySeconds": 0.5, "poolUsedPercent": 80},
	} {
		for name, d := range dashboards(t, settings(changed)...) {
			for _, p := range d.Panels {
				for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
					want, ok := changed[step.Threshold]
					if !ok {
						continue
					}
					drawn++
					if *step.Value != want {
						t.Errorf("%s: %s has the threshold %v, and the alert %v", name, p.Title, *step.Value, want)
					}
				}
			}
		}
	}
	_, rules := ruleFile(t)
	for _, p := range dashboards(t)["user-service-slo.json"].Panels {
		if what, found := strings.CutPrefix(p.Title, "Burn rate, "); found {
			drawn += checkBurnRates(t, p, map[string]float64{"availability": 0.001, "latency": 0.01}[what], rules)
		}
	}
	if drawn < 25 {
		t.Errorf("only %d thresholds are drawn", drawn)
	}
}
