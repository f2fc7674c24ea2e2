package tilt_test

import (
	"regexp"
	"slices"
	"testing"
)

func TestEachButtonHasAResourceAndACommand(t *testing.T) {
	t.Parallel()
	d := declare(t, nil)
	commands := map[string]map[string]any{}
	for _, cmd := range d.calls["v1alpha1.cmd"] {
		for _, button := range words(at(cmd["start_on"], "ui_buttons")) {
			commands[button] = cmd
		}
	}
	resources := d.resources()
	for _, button := range d.calls["v1alpha1.ui_button"] {
		name := text(button, "name")
		resource := text(button["location"], "component_id")
		if resources[resource] == nil || text(button["location"], "component_type") != "Resource" {
			t.Errorf("the button %s is at %s, which is not a resource", name, resource)
		}
		cmd := commands[name]
		if cmd == nil {
			t.Errorf("the button %s has no command", name)
			continue
		}
		checkCommand(t, words(cmd["args"]))
		for _, input := range options(button["inputs"]) {
			if !regexp.MustCompile(`\$\{` + text(input, "name") + `[:-]`).MatchString(read(t, "tilt/actions")) {
				t.Errorf("tilt/actions does not read %s, an input of %s", input["name"], name)
			}
		}
	}
}

func TestDevelopersHaveTheseButtons(t *testing.T) {
	t.Parallel()
	d := declare(t, nil)
	resources := d.resources()
	for _, name := range []string{"unit-tests", "lint", "e2e", "load", "events", "smoke"} {
		if r := resources[name]; r == nil || r["trigger_mode"] != "manual" {
			t.Errorf("%s can't be triggered", name)
		}
	}
	for _, name := range []string{
		"register", "admin", "rotate", "migrate", "migration", "psql", "reset", "stop-broker", "start-broker", "format", "generate",
	} {
		if !slices.ContainsFunc(d.calls["v1alpha1.ui_button"], func(b map[string]any) bool { return b["name"] == name }) {
			t.Errorf("the button %s is missing", name)
		}
	}
}

// TestOnlyCIWaitsForTheSmokeTest checks that the smoke test starts automatically only in tilt ci, which succeeds when everything that
// starts automatically is healthy.
func TestOnlyCIWaitsForTheSmokeTest(t *testing.T) {
	t.Parallel()
	for subcommand, want := range map[string]bool{"up": false, "ci": true} {
		d, err := run(start{subcommand: subcommand})
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range d.calls["local_resource"] {
			if auto := call["auto_init"] != false; call["name"] != "compile" && auto != (want && call["name"] == "smoke") {
				t.Errorf("tilt %s: %s starts automatically: %v", subcommand, call["name"], auto)
			}
		}
	}
}
