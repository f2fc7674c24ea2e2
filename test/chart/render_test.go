package chart_test

import (
	"os"
	"strings"
	"testing"
)

func TestHelmLintFindsNothing(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		args := []string{"lint", "--strict", chart}
		for _, file := range files {
			args = append(args, "--values", file)
		}
		run(t, nil, "helm", args...)
	})
}

func TestHelm3AndHelm4RenderTheSame(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		four, three := render(t, "helm", files...), render(t, "helm3", files...)
		if noBlankLines(four) != noBlankLines(three) {
			t.Errorf("Helm 4 and Helm 3 differ; this is Helm 4's:\n%s\nand Helm 3's:\n%s", four, three)
		}
	})
}

// noBlankLines removes blank lines between objects.
func noBlankLines(objects string) string {
	return strings.Join(strings.FieldsFunc(objects, func(r rune) bool { return r == '\n' }), "\n")
}

func TestTwoRendersAreTheSame(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		first, second := render(t, "helm", files...), render(t, "helm", files...)
		if first != second {
			t.Error("two renders of the same values differ: Argo CD would sync forever")
		}
	})
}

func TestTheUnitTestsOfTheChartPass(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(chart + "/tests"); err != nil {
		t.Fatal(err)
	}
	out := run(t, nil, "helm-unittest", "--strict", chart)
	if !strings.Contains(out, "Charts:      1 passed") {
		t.Errorf("no chart was tested:\n%s", out)
	}
}

// kube-score checks the production values, except for two rules. The rule for CPU limits does not apply, because hashes may use idle
// CPUs. The rule for the pull policy does not apply, because an image with a version or digest needs no registry lookup.
func TestKubeScoreFindsNothingCritical(t *testing.T) {
	t.Parallel()
	for _, file := range []string{chart + "/ci/everything-values.yaml", production + "values.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			objects := run(t, nil, "helm", "template", "accounts", chart, "--values", file, "--set", "test.enabled=false")
			out, message, err := try([]byte(objects), "kube-score", "score", "--output-format", "ci",
				"--ignore-container-cpu-limit", "--ignore-test", "container-image-pull-policy", "-")
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "[CRITICAL]") {
					t.Error(strings.TrimSpace(line))
				}
			}
			if !strings.Contains(out, "[OK]") {
				t.Errorf("%v: %s%s", err, out, message)
			}
		})
	}
}
