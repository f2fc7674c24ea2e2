package tilt_test

import (
	"regexp"
	"slices"
	"testing"
)

func TestEachButtonHasAResourceAndACommand(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		commands := map[string]map[string]any{}
		for _, cmd := range d.calls["v1alpha1.cmd"] {
			for _, button := range words(at(cmd["start_on"], "ui_buttons")) {
				commands[button] = cmd
			}
		}
		for _, button := range d.calls["v1alpha1.ui_button"] {
			name := button["name"].(string)
			where := text(button["location"], "component_id")
			if d.resources[where] == nil || text(button["location"], "component_type") != "Resource" {
				t.Errorf("the button %s is at %s, which is no resource", name, where)
			}
			cmd := commands[name]
			if cmd == nil {
				t.Errorf("the button %s does nothing", name)
				continue
			}
			runnable(t, words(cmd["args"]))
			for _, input := range options(button["inputs"]) {
				if !regexp.MustCompile(`\$\{` + input["name"].(string) + `[:-]`).MatchString(read(t, "tilt/actions")) {
					t.Errorf("tilt/actions does not look at %s, which %s asks for", input["name"], name)
				}
			}
		}
	})
}

// A developer needs these buttons.
func TestNoButtonIsMissing(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		for _, name := range []string{"unit-tests", "lint", "e2e", "load", "events", "smoke"} {
			if r := d.resources[name]; r == nil || r.options["trigger_mode"] != "manual" {
				t.Errorf("%s can't be triggered", name)
			}
		}
		for _, name := range []string{"register", "admin", "rotate", "migration", "psql", "stop-broker", "start-broker"} {
			if !slices.ContainsFunc(d.calls["v1alpha1.ui_button"], func(b map[string]any) bool { return b["name"] == name }) {
				t.Errorf("there is no button %s", name)
			}
		}
	})
}

// tilt ci succeeds when everything that starts automatically is healthy.
func TestOnlyCIWaitsForTheSmokeTest(t *testing.T) {
	t.Parallel()
	for subcommand, want := range map[string]bool{"up": false, "ci": true} {
		d, err := run(start{subcommand: subcommand})
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range d.calls["local_resource"] {
			if auto := call["auto_init"] != false; call["name"] != "compile" && auto != (want && call["name"] == "smoke") {
				t.Errorf("tilt %s: %s starts by itself: %v", subcommand, call["name"], auto)
			}
		}
	}
}
