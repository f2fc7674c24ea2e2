package observability_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
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
	if !slices.Equal(variables, []string{"datasource", "cluster", "namespace", "job", "pod", "logs", "traces"}) {
		t.Errorf("%s has the variables %v", name, variables)
	}
	if cluster := d.Templating.List[1]; cluster.AllValue != ".*" {
		t.Errorf("%s: all clusters are %q, which does not match a missing label", name, cluster.AllValue)
	}
	if d.SchemaVersion < 41 || d.Editable {
		t.Errorf("%s has the schema version %d, and can be edited: %v", name, d.SchemaVersion, d.Editable)
	}
	if d.UID != strings.TrimSuffix(name, ".json") || d.Title == "" || d.Description == "" || !slices.Contains(d.Tags, "user-service") {
		t.Errorf("%s: uid %q, title %q, description %q, tags %v", name, d.UID, d.Title, d.Description, d.Tags)
	}
	var links []string
	for _, l := range d.Links {
		links = append(links, l.Type+" "+strings.Join(l.Tags, ""))
	}
	want := []string{"dashboards user-service", "link ", "link ", "link ", "dashboards rabbitmq-prometheus", "dashboards cloudnativepg"}
	if !slices.Equal(links, want) || !strings.HasSuffix(d.Links[1].URL, "/docs/runbooks/") {
		t.Errorf("%s has the links %v", name, links)
	}
	lintAnnotations(t, name, d)
}

// lintAnnotations checks that critical alerts are marked in red, and that the marks of warnings are off by default.
func lintAnnotations(t *testing.T, name string, d dashboard) {
	t.Helper()
	for _, a := range d.Annotations.List {
		isCritical := strings.Contains(a.Target.Expr, `severity="critical"`)
		if isCritical != (a.IconColor == "red") || isCritical && !a.Enable ||
			strings.Contains(a.Target.Expr, `severity="warning"`) && a.Enable {
			t.Errorf("%s marks %s in %s; enabled: %v", name, a.Name, a.IconColor, a.Enable)
		}
		if strings.Contains(a.Target.Expr, "ALERTS") && !isCritical && !strings.Contains(a.Target.Expr, `severity="warning"`) {
			t.Errorf("%s marks alerts of each severity in one color: %s", name, a.Target.Expr)
		}
		if !strings.Contains(a.Target.Expr, `cluster=~"$cluster",namespace="$namespace"`) {
			t.Errorf("%s also marks other releases: %s", name, a.Target.Expr)
		}
	}
}

// TestTheOverviewFitsTheFirstScreen checks that the first row fits on a screen with 1080 lines.
func TestTheOverviewFitsTheFirstScreen(t *testing.T) {
	t.Parallel()
	panels, bottom := 0, 0
	for _, p := range dashboards(t)["user-service-service.json"].Panels[1:] {
		if p.Type == "row" {
			break
		}
		panels++
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	if panels > 10 || bottom > 20 {
		t.Errorf("the first row has %d panels and ends at %d, want at most 10 and 20", panels, bottom)
	}
}

func lintPanel(t *testing.T, name string, p panel) {
	t.Helper()
	if p.Title == "" || !strings.ContainsAny(p.Description, ".?") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
		t.Errorf("%s: description %q, unit %q, %d queries", name, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
	}
	for i, target := range p.Targets {
		if p.Datasource.UID != "${datasource}" || target.Datasource.UID != "${datasource}" {
			t.Errorf("%s uses a different data source", name)
		}
		if !ofRelease.MatchString(target.Expr) {
			t.Errorf("%s also selects other releases: %s", name, target.Expr)
		}
		last := i == len(p.Targets)-1 // the queries of a panel have the same exemplars
		if want := withExemplars.MatchString(target.Expr) && p.Type != "stat" && last; want != target.Exemplar {
			t.Errorf("%s: exemplars are enabled: %v: %s", name, target.Exemplar, target.Expr)
		}
	}
	if p.Type == "timeseries" && (p.Options.Legend.DisplayMode != "table" || len(p.Options.Legend.Calcs) != 3) {
		t.Errorf("%s has a legend without values: %+v", name, p.Options.Legend)
	}
}

var (
	ofRelease = regexp.MustCompile(`cluster=~"\$cluster",namespace="\$namespace",` +
		`(job="\$job(-mailer)?"|job=~"\$job\|\$job-mailer\|"|(deployment|horizontalpodautoscaler)="\$job"` +
		`|job_name=~"\$job-|pod=~"\$pod",pod=~"\$job-)`)
	withExemplars = regexp.MustCompile(`(http_server_request|db_client_operation)_duration_seconds_bucket`)
)

// TestRedMeansCritical compares the colors of thresholds with the severities of the alerts. No curve is red.
func TestRedMeansCritical(t *testing.T) {
	t.Parallel()
	_, rules := ruleFile(t)
	severities := map[string][]string{}
	for _, r := range rules {
		severities[r.Alert] = append(severities[r.Alert], r.Labels["severity"])
	}
	compared := 0
	for name, d := range dashboards(t) {
		for _, p := range d.Panels {
			compared += checkThresholdColors(t, name+": "+p.Title, p, severities)
			checkCurveColors(t, name+": "+p.Title, p)
		}
	}
	if compared < 25 {
		t.Errorf("only %d thresholds were compared", compared)
	}
}

// checkThresholdColors returns the number of compared thresholds.
func checkThresholdColors(t *testing.T, name string, p panel, severities map[string][]string) int {
	t.Helper()
	compared := 0
	var ofAlert []string
	for _, l := range p.Links {
		alert := strings.TrimSuffix(path.Base(l.URL), ".md")
		ofAlert = append(ofAlert, severities[alert]...)
		if alert != "README" && len(severities[alert]) == 0 {
			t.Errorf("%s links to the runbook of %s, which is not an alert", name, alert)
		}
	}
	for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
		severity, ok := map[string]string{"red": "critical", "orange": "warning"}[s.Color]
		if !ok {
			continue
		}
		compared++
		if !slices.Contains(ofAlert, severity) {
			t.Errorf("%s has a threshold in %s, and its alerts have the severities %v", name, s.Color, ofAlert)
		}
	}
	return compared
}

func checkCurveColors(t *testing.T, name string, p panel) {
	t.Helper()
	mode := p.FieldConfig.Defaults.Color.Mode
	if p.Type == "timeseries" && (mode != "shades" || p.FieldConfig.Defaults.Color.FixedColor == "red") {
		t.Errorf("%s has colors by %s, which may be red", name, mode)
	}
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if strings.Contains(fmt.Sprint(property.Value), "red") && property.ID == "color" && o.Matcher.Options != "/^(.* critical)$/" {
				t.Errorf("%s shows %s in red", name, o.Matcher.Options)
			}
		}
	}
}

// TestTilesAgreeWithTheAlerts evaluates the tiles of critical alerts for each story. A tile must be red exactly while its alert fires.
func TestTilesAgreeWithTheAlerts(t *testing.T) {
	t.Parallel()
	rules, _ := ruleFile(t)
	all := dashboards(t)
	tiles := map[string]panel{}
	for _, p := range slices.Concat(all["user-service-service.json"].Panels, all["user-service-slo.json"].Panels) {
		steps := p.FieldConfig.Defaults.Thresholds.Steps
		if p.Type == "stat" && len(p.Links) == 1 && steps[len(steps)-1].Color == "red" {
			tiles[strings.TrimSuffix(path.Base(p.Links[0].URL), ".md")+"/"+p.Title] = p
		}
	}
	if len(tiles) != 6 {
		t.Errorf("%d tiles are compared, want the two burn rates in two dashboards, logins and events", len(tiles))
	}
	runStories(t, rules, func(s story) []any {
		var tests []any
		for key, p := range tiles {
			alert, _, _ := strings.Cut(key, "/")
			steps := p.FieldConfig.Defaults.Thresholds.Steps
			red := 0
			if slices.Contains(s.fires, alert+"/critical") {
				red = 1
			}
			tests = append(tests, map[string]any{
				"expr":      fmt.Sprintf("sum((%s) >= bool %v) or vector(0)", filled(p.Targets[0].Expr), *steps[len(steps)-1].Value),
				"eval_time": s.at, "exp_samples": []any{map[string]any{"labels": "{}", "value": red}},
			})
		}
		return tests
	})
}

// checkBurnRates checks that each threshold line of a panel is the threshold of an alert. It returns the number of lines.
func checkBurnRates(t *testing.T, p panel, budget float64, rules []alert) int {
	t.Helper()
	steps := p.FieldConfig.Defaults.Thresholds.Steps[1:]
	for _, step := range steps {
		limit := fmt.Sprintf("> %.6f\n", *step.Value*budget)
		color := map[string]string{"critical": "red", "warning": "orange"}
		if !slices.ContainsFunc(rules, func(r alert) bool {
			return r.Alert != "" && strings.HasSuffix(p.Links[0].URL, "/"+r.Alert+".md") && strings.Contains(r.Expr, limit) &&
				step.Color == color[r.Labels["severity"]]
		}) {
			t.Errorf("%s has a line at %v in %s, which is not a threshold of an alert", p.Title, *step.Value, step.Color)
		}
	}
	return len(steps)
}

// namedThresholds returns the names of the thresholds that the chart fills in, by panel and step.
func namedThresholds(t *testing.T, name string) map[string]map[int]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart, "dashboards", strings.TrimPrefix(name, "user-service-")))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title       string
			FieldConfig struct {
				Defaults struct {
					Thresholds struct{ Steps []struct{ Value any } }
				}
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[int]string{}
	for _, p := range d.Panels {
		out[p.Title] = map[int]string{}
		for i, step := range p.FieldConfig.Defaults.Thresholds.Steps {
			value, _ := step.Value.(string)
			out[p.Title][i] = strings.TrimSuffix(strings.TrimPrefix(value, "__THRESHOLD_"), "__")
		}
	}
	return out
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
			named := namedThresholds(t, name)
			for _, p := range d.Panels {
				for i, step := range p.FieldConfig.Defaults.Thresholds.Steps {
					want, ok := changed[named[p.Title][i]]
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

// TestReadyPodsAgreeWithTheAlert evaluates the tile of ready pods for the stories about readiness.
func TestReadyPodsAgreeWithTheAlert(t *testing.T) {
	t.Parallel()
	rules, _ := ruleFile(t)
	panels := dashboards(t)["user-service-service.json"].Panels
	ready := panels[slices.IndexFunc(panels, func(p panel) bool { return p.Title == "Ready pods" })]
	compared := 0
	runStories(t, rules, func(s story) []any {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(s.input)), func(name string) bool {
			return strings.HasPrefix(name, "user_service_ready{")
		}) {
			return nil
		}
		compared++
		red := 0
		if slices.Contains(s.fires, "UserServiceNotReady/critical") {
			red = 1
		}
		return []any{map[string]any{
			"expr": fmt.Sprintf("(%s) < bool %v", filled(ready.Targets[0].Expr),
				*ready.FieldConfig.Defaults.Thresholds.Steps[1].Value),
			"eval_time": s.at, "exp_samples": []any{map[string]any{"labels": "{}", "value": red}},
		}}
	})
	if compared < 4 {
		t.Errorf("only %d stories have readiness", compared)
	}
}
