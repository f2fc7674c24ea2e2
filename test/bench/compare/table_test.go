package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// twoRounds is a comparison in which the service serves half, then three quarters of the floor's requests.
func twoRounds(s scenario) []comparison {
	return []comparison{{
		scenario: s, floor: []result{{rate: 100, p50: 1, quietP50: 1, quietP99: 1}, {rate: 100, p50: 1, quietP50: 1, quietP99: 1}},
		service: []result{
			{rate: 50, p50: 2, quietP50: 1, quietP99: 1}, {rate: 75, p50: 3, quietP50: 1, quietP99: 1, problems: map[string]int{"no answer": 2}},
		},
	}}
}

func TestTheTableHasRatiosAndProblems(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		got := table(twoRounds(s))
		for _, want := range []string{"0.75 (0.50–0.75)", "3.00 (2.00–3.00)", "service, " + s.String() + ": no answer, 2 times"} {
			if !strings.Contains(got, want) {
				t.Errorf("the table of %s does not contain %q:\n%s", s, want, got)
			}
		}
		if hasStorm := strings.Contains(got, "Reads in the storm"); hasStorm != (s.request == nil) {
			t.Errorf("the table of %s has the reads in the storm: %t", s, hasStorm)
		}
	}
}

func TestThePictureIsDrawn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ratios.png", "ratios.svg"} {
		if err := drawRatios(filepath.Join(t.TempDir(), name), twoRounds(scenarios()[0])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlySelectsLoads(t *testing.T) {
	t.Parallel()
	selected, err := selectScenarios("by id, login")
	if err != nil || len(selected) != 6 {
		t.Errorf("%d loads are selected, with the error %v, want 6", len(selected), err)
	}
	if _, err := selectScenarios("logout"); err == nil {
		t.Error("an unknown load is accepted")
	}
}
