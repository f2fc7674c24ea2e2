package observability_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestTheRulesOfProductionAreValid checks the rules for PostgreSQL and RabbitMQ in k8s/production. Their metrics come from other programs,
// so it checks only the syntax.
func TestTheRulesOfProductionAreValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("k8s/production/monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(string(text), -1) {
		var object struct {
			Kind string
			Spec any
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind != "PrometheusRule" {
			continue
		}
		files++
		rules, err := yaml.Marshal(object.Spec)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(file, rules, 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "promtool", "check", "rules", file)
	}
	if files != 2 {
		t.Errorf("%d files of rules were found, want those of PostgreSQL and RabbitMQ", files)
	}
}
