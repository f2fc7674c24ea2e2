package tilt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func declare(t *testing.T, settings map[string]any) *declared {
	t.Helper()
	d, err := run(start{settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDebuggerIsBuiltInAndItsPortIsForwarded(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		d := declare(t, map[string]any{"debugger": on})
		got := []bool{
			d.calls["docker_build"][0]["target"] == "debugger",
			strings.Contains(fmt.Sprint(d.container()["env"]), "DELVE_ADDR"),
			slices.Contains(words(d.resources()["compile"]["cmd"]), "--debugger"),
			strings.Contains(fmt.Sprint(d.resources()["user-service"]["port_forwards"]), "2345"),
		}
		if slices.Contains(got, !on) {
			t.Errorf("debugger=%v: the image, the environment, the compiler and the port are for the debugger: %v", on, got)
		}
		if d.calls["docker_build"][1]["target"] != "dev" {
			t.Error("the migration runs under the debugger")
		}
	}
}

func TestTheRaceDetectorIsCompiledIn(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		d := declare(t, map[string]any{"race": on})
		if got := slices.Contains(words(d.resources()["compile"]["cmd"]), "--race"); got != on {
			t.Errorf("race=%v: the program is compiled with the race detector: %v", on, got)
		}
	}
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "1", "3": "3"} {
		settings := map[string]any{}
		if given != "" {
			settings["replicas"] = given
		}
		if got := fmt.Sprint(at(declare(t, settings).find("Deployment", "user-service"), "spec", "replicas")); got != want {
			t.Errorf("replicas %q: %s pods, want %s", given, got, want)
		}
	}
}

func TestWithoutMonitoringItsObjectsAreMissing(t *testing.T) {
	t.Parallel()
	for _, without := range []bool{false, true} {
		d := declare(t, map[string]any{"without-monitoring": without})
		monitoring := slices.ContainsFunc(d.objects, func(o object) bool {
			name := text(o, "metadata", "name")
			return strings.Contains(name, "prometheus") || strings.Contains(name, "grafana") || strings.Contains(name, "dashboard")
		})
		if without == monitoring {
			t.Errorf("without-monitoring=%v: there are objects of the monitoring: %v", without, monitoring)
		}
	}
}

func TestPrometheusGetsTheRulesOfTheChart(t *testing.T) {
	t.Parallel()
	d := declare(t, nil)
	if d.find("PrometheusRule", "user-service") != nil {
		t.Error("the dev cluster gets a PrometheusRule, a kind that it does not have")
	}
	rules := text(d.find("ConfigMap", "prometheus-rules"), "data", "user-service.yaml")
	if !strings.Contains(rules, "alert: UserServiceOutboxStuck") {
		t.Errorf("the rules of Prometheus have no alert UserServiceOutboxStuck, want one:\n%s", rules)
	}
}

func TestInvalidSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		start
		want string
	}{
		"another cluster": {start{context: "production"}, `start with "make dev"`},
		"another cluster, by name": {
			start{context: "production", settings: map[string]any{"context": "mine"}}, "the dev cluster is that of mine",
		},
		"tilt down elsewhere":      {start{context: "production", subcommand: "down"}, "the context production"},
		"no pods":                  {start{settings: map[string]any{"replicas": "0"}}, "give a number of at least 1"},
		"no number":                {start{settings: map[string]any{"replicas": "two"}}, "give a number of at least 1"},
		"a debugger for many pods": {start{settings: map[string]any{"replicas": "2", "debugger": true}}, "leave one of the two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := run(test.start)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestOnlyTheChosenContextIsAllowed(t *testing.T) {
	t.Parallel()
	d, err := run(start{settings: map[string]any{"context": "mine"}, context: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.calls["allow_k8s_contexts"]; len(got) != 1 || got[0]["contexts"] != "mine" {
		t.Errorf("allow_k8s_contexts gets %v, want only mine", got)
	}
}
