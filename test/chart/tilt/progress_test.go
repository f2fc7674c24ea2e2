package tilt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTheStartShowsItsProgress replays the statuses that Tilt reports while it starts.
func TestTheStartShowsItsProgress(t *testing.T) {
	t.Parallel()
	statuses := t.TempDir()
	for name, text := range map[string]string{
		"1": "(Tiltfile) in_progress not_applicable",
		"2": "(Tiltfile) ok not_applicable\ncompile in_progress not_applicable\npostgresql ok pending\nmigrate pending none\nload none " +
			"none",
		"3": "(Tiltfile) ok not_applicable\ncompile ok not_applicable\npostgresql ok ok\nmigrate ok error\nload none none",
		"4": "(Tiltfile) ok not_applicable\ncompile ok not_applicable\npostgresql ok ok\nmigrate ok ok\nload none none",
	} {
		if err := os.WriteFile(filepath.Join(statuses, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := programs(t, map[string]string{
		"sleep": "",
		"tilt":  `cd "$STATUSES"; for f in ?; do [ -e "$f" ] && break; done; cat "$f"; [ "$f" = 4 ] || rm "$f"` + "\n",
	})
	command := exec.Command("tools/dev/progress")
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STATUSES="+statuses)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(regexp.MustCompile(`(?m)^ *\d+ s  `).ReplaceAllString(string(out), "")), "\n")
	want := []string{
		"Tilt has not read the Tiltfile yet",
		"1 of 4 are ready; waiting for compile, postgresql, migrate",
		"3 of 4 are ready; FAILED: migrate",
		"everything is ready: http://localhost:10350 shows the parts, http://localhost:8080/docs is the API",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the output is\n%s\nwant\n%s", out, strings.Join(want, "\n"))
	}
}

// TestTheProgressEndsWithTilt starts tools/dev/progress with the id of a process that has ended.
func TestTheProgressEndsWithTilt(t *testing.T) {
	t.Parallel()
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tools/dev/progress", "--pid", strconv.Itoa(ended.Process.Pid)).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheHelpOfTheLoopListsTheSettings compares the help with the Tiltfile.
func TestTheHelpOfTheLoopListsTheSettings(t *testing.T) {
	t.Parallel()
	help, err := exec.Command("tools/dev/loop", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(help))
	d := declare(t, nil)
	for _, call := range slices.Concat(d.calls["config.define_bool"], d.calls["config.define_object"]) {
		if !slices.Contains(listed, "--"+text(call, "name")) {
			t.Errorf("tools/dev/loop --help does not list --%s", call["name"])
		}
	}
}
