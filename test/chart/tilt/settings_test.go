package tilt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
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

func TestTheDebuggerHoldsTheStart(t *testing.T) {
	t.Parallel()
	for _, wait := range []bool{false, true} {
		d := declare(t, map[string]any{"debugger-wait": wait})
		env := fmt.Sprint(d.container()["env"])
		if got := strings.Contains(env, "DELVE_WAIT") && strings.Contains(env, "DELVE_ADDR"); got != wait {
			t.Errorf("debugger-wait=%v: the program waits for a client: %v", wait, got)
		}
	}
}

// TestOnlyInCIAContainerEndsWithItsProgram checks the variable ENTRYPOINT_WAITS, also together with the variables of the debugger.
func TestOnlyInCIAContainerEndsWithItsProgram(t *testing.T) {
	t.Parallel()
	for subcommand, want := range map[string]bool{"up": false, "ci": true} {
		d, err := run(start{subcommand: subcommand, settings: map[string]any{"debugger": true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"user-service", "user-service-mailer"} {
			env := fmt.Sprint(containerOf(d.find("Deployment", name))["env"])
			if got := strings.Contains(env, "map[name:ENTRYPOINT_WAITS value:no]"); got != want {
				t.Errorf("tilt %s: the container of %s ends with its program: %v", subcommand, name, got)
			}
		}
	}
}

// TestTheResourcesCanBeChosen also covers a start without a choice, for which Tilt gets an empty list and starts everything.
func TestTheResourcesCanBeChosen(t *testing.T) {
	t.Parallel()
	for _, chosen := range [][]any{{}, {"postgresql", "rabbitmq"}} {
		d := declare(t, map[string]any{"resources": chosen})
		if got := d.calls["config.set_enabled_resources"]; len(got) != 1 || !slices.Equal(words(got[0]["resources"]), words(chosen)) {
			t.Errorf("Tilt starts %v, want %v", got, chosen)
		}
		defined := d.calls["config.define_string_list"]
		if len(defined) != 1 || defined[0]["name"] != "resources" || defined[0]["args"] != true {
			t.Errorf("the arguments of tilt up are %v, want the resources", defined)
		}
	}
}

func TestLintOnSave(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		r := declare(t, map[string]any{"lint-on-save": on}).resources()["lint"]
		if got := r["trigger_mode"] == "auto" && slices.Contains(words(r["deps"]), "pkg"); got != on || r["auto_init"] != false {
			t.Errorf("lint-on-save=%v: the linters run after a change: %v", on, got)
		}
	}
}

func TestPersonalAdditionsAreIncluded(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"mine.Tiltfile": `local_resource("mine", cmd = ["true"])`,
		"notes.md":      "# not a Tiltfile",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := run(start{personal: folder})
	if err != nil || d.resources()["mine"] == nil {
		t.Errorf("tilt.d is not included: %v", err)
	}
	if !strings.Contains(read(t, ".gitignore"), "\n/tilt.d/\n") {
		t.Error("git does not ignore tilt.d")
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
	// a number of JSON is a float in Tilt
	for given, want := range map[any]string{nil: "1", "3": "3", starlark.Float(3): "3", int64(2): "2"} {
		settings := map[string]any{}
		if given != nil {
			settings["replicas"] = given
		}
		if got := fmt.Sprint(at(declare(t, settings).find("Deployment", "user-service"), "spec", "replicas")); got != want {
			t.Errorf("replicas %v: %s pods, want %s", given, got, want)
		}
	}
}

func TestWithoutMonitoringItsObjectsAreMissing(t *testing.T) {
	t.Parallel()
	for _, without := range []bool{false, true} {
		d := declare(t, map[string]any{"without-monitoring": without})
		monitoring := slices.ContainsFunc(d.objects, func(o object) bool {
			name := text(o, "metadata", "name")
			return slices.ContainsFunc([]string{"prometheus", "grafana", "dashboard", "jaeger"}, func(part string) bool {
				return strings.Contains(name, part)
			})
		})
		traces := strings.Contains(fmt.Sprint(d.container()["env"]), "OTEL_EXPORTER_OTLP_ENDPOINT value:http://jaeger:4318")
		if without == monitoring || without == traces {
			t.Errorf("without-monitoring=%v: there are objects of the monitoring: %v; traces are sent: %v", without, monitoring, traces)
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
		"a part of a pod":          {start{settings: map[string]any{"replicas": starlark.Float(1.5)}}, "give a number of at least 1"},
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
