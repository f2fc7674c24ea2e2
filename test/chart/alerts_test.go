package chart_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

type rule struct {
	Alert, Expr string
	Labels      map[string]string
}

// alertsOf returns the alerts of a rendered PrometheusRule by name. An alert may have several rules.
func alertsOf(t *testing.T, stream string) map[string][]rule {
	t.Helper()
	alerts := map[string][]rule{}
	for _, document := range documents(t, []byte(stream)) {
		object := parse[struct {
			Kind string
			Spec struct{ Groups []struct{ Rules []rule } }
		}](t, document)
		if object.Kind != "PrometheusRule" {
			continue
		}
		for _, group := range object.Spec.Groups {
			for _, rule := range group.Rules {
				if rule.Alert != "" {
					alerts[rule.Alert] = append(alerts[rule.Alert], rule)
				}
			}
		}
	}
	return alerts
}

// The values change alerts by name, so the chart must know the name of each. Each alert has a runbook.
func TestTheChartKnowsItsAlerts(t *testing.T) {
	t.Parallel()
	all := alertsOf(t, run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", mailer+"prometheusRule.enabled=true"))
	files, err := os.ReadDir("docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	var runbooks []string
	for _, file := range files {
		if name, found := strings.CutSuffix(file.Name(), ".md"); found && name != "README" {
			runbooks = append(runbooks, name)
		}
	}
	names := slices.Sorted(maps.Keys(all))
	if !slices.Equal(names, runbooks) {
		t.Errorf("the alerts are %v, and the runbooks %v", names, runbooks)
	}
	disabled := "prometheusRule.enabled=true,prometheusRule.disabledAlerts={" + strings.Join(names, ",") + "}"
	out := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", mailer+disabled)
	if left := alertsOf(t, out); len(left) > 0 {
		t.Errorf("with all alerts disabled, %v are left", left)
	}
}

func TestLabelsSeveritiesAndRulesAreSetByValues(t *testing.T) {
	t.Parallel()
	alerts := alertsOf(t, render(t, "helm", platform))
	if _, rendered := alerts["UserServiceCrashLoop"]; rendered {
		t.Error("a disabled alert is rendered")
	}
	for name, severities := range map[string][]string{
		"UserServiceBrokerAway": {"critical"}, "UserServiceSchemaBehind": {"warning", "critical"}, "UserServiceQuiet": {"none"},
		"UserServiceErrorBudgetBurn":   {"page", "page", "page", "page"},
		"UserServiceLatencyBudgetBurn": {"critical", "critical", "warning", "warning"},
	} {
		var got []string
		for _, rule := range alerts[name] {
			got = append(got, rule.Labels["severity"])
		}
		if !slices.Equal(got, severities) {
			t.Errorf("%s has the severities %v, want %v", name, got, severities)
		}
	}
	for name, rules := range alerts {
		for _, rule := range rules {
			if name != "UserServiceQuiet" && rule.Labels["team"] != "identity" {
				t.Errorf("%s has the labels %v", name, rule.Labels)
			}
			if strings.HasSuffix(name, "BudgetBurn") && rule.Labels["window"] == "" {
				t.Errorf("%s has no window", name)
			}
		}
	}
}
