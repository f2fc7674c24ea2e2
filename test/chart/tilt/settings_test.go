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

func TestTheDebuggerIsBuiltInAndReached(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		d := declare(t, map[string]any{"debugger": on})
		service := d.resources["user-service"]
		env := fmt.Sprint(service.containers()[0]["env"])
		compiled := words(d.calls["local_resource"][0]["cmd"])
		got := []bool{
			d.calls["docker_build"][0]["target"] == "debugger",
			strings.Contains(env, "DELVE_ADDR"),
			slices.Contains(compiled, "--debugger"),
			strings.Contains(fmt.Sprint(service.options["port_forwards"]), "2345"),
		}
		if slices.Contains(got, !on) {
			t.Errorf("debugger %v: image, environment, compiler and port are %v", on, got)
		}
		if d.calls["docker_build"][1]["target"] != "dev" || strings.Contains(fmt.Sprint(d.resources["migrate"].pod), "debugger") {
			t.Error("the migration runs under the debugger")
		}
	}
}

func TestTheRaceDetectorIsCompiledIn(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		d := declare(t, map[string]any{"race": on})
		if got := slices.Contains(words(d.calls["local_resource"][0]["cmd"]), "--race"); got != on {
			t.Errorf("race %v: compiled with it: %v", on, got)
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
		if got := fmt.Sprint(at(declare(t, settings).resources["user-service"].objects[0], "spec", "replicas")); got != want {
			t.Errorf("replicas %q: %s pods, want %s", given, got, want)
		}
	}
}

func TestWithoutMonitoringNothingOfItIsLeft(t *testing.T) {
	t.Parallel()
	for _, without := range []bool{false, true} {
		d := declare(t, map[string]any{"without-monitoring": without})
		there := 0
		for _, o := range d.objects {
			if name := text(o, "metadata", "name"); strings.Contains(name, "prometheus") || strings.Contains(name, "grafana") || strings.Contains(name, "dashboard") {
				there++
			}
		}
		if without == (there > 0) {
			t.Errorf("without-monitoring %v: %d objects of it", without, there)
		}
	}
}

func TestTheRulesOfTheChartReachPrometheus(t *testing.T) {
	t.Parallel()
	d := declare(t, nil)
	for _, o := range d.objects {
		if text(o, "kind") == "PrometheusRule" {
			t.Error("a PrometheusRule, which this cluster does not know")
		}
		if text(o, "metadata", "name") == "prometheus-rules" {
			if rules := text(o, "data", "user-service.yaml"); !strings.Contains(rules, "alert: UserServiceOutboxStuck") {
				t.Errorf("the rules are:\n%s", rules)
			}
			return
		}
	}
	t.Error("there are no rules")
}

func TestWhatCanNotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		start
		want string
	}{
		"another cluster":          {start{context: "production"}, `start with "make dev"`},
		"another one by name":      {start{context: "production", settings: map[string]any{"context": "mine"}}, "the dev cluster is that of mine"},
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

func TestOnlyTheContextThatIsMeantIsAllowed(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		if got := d.calls["allow_k8s_contexts"]; len(got) != 1 || got[0]["contexts"] == nil {
			t.Errorf("allowed: %v", got)
		}
	})
}
