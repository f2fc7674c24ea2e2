package tilt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// well is the output of the programs on a machine that has all of them.
var well = map[string]string{
	"go": "go1.26.1", "docker": "Docker version 27.1.1, build 6312585", "kind": "kind v0.27.0 go1.23.6 linux/amd64",
	"kubectl": "Client Version: v1.33.1\nKustomize Version: v5.6.0", "helm": "v4.3.1+g0d8d1c0", "tilt": "v0.36.3, built 2026-03-05",
	"curl": "curl 8.14.1 (x86_64-pc-linux-gnu)",
}

// doctor runs the doctor with these programs and the system's programs.
func doctor(t *testing.T, says map[string]string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	for name, text := range says {
		script := "#!/bin/sh\ncat <<'E'\n" + text + "\nE\n"
		if text == "" {
			script = "#!/bin/sh\nexit 1\n"
		}
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bash", "cat", "env", "grep", "head", "sh"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("tools/dev/doctor")
	command.Env = []string{"PATH=" + bin}
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestTheDoctorAcceptsACompleteMachine(t *testing.T) {
	t.Parallel()
	if out, err := doctor(t, well); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheDoctorListsEveryMissingTool(t *testing.T) {
	t.Parallel()
	says := map[string]string{
		"go": well["go"], "docker": "", "kubectl": "Client Version: v1.9.11", "helm": "v3.2.0", "curl": well["curl"], "brew": "Homebrew",
	}
	out, err := doctor(t, says)
	if err == nil {
		t.Error("the doctor accepts the machine")
	}
	for _, want := range []string{
		"docker   does not print its version; 24.0 or later", "docker   does not answer",
		"kind     is missing; 0.24 or later", "https://kind.sigs.k8s.io", "brew install kind",
		"kubectl  is 1.9.11; 1.30 or later", "brew install kubernetes-cli",
		"helm     is 3.2.0; 3.16 or later",
		"tilt     is missing; 0.36 or later", "https://docs.tilt.dev/install.html", "brew install tilt-dev/tap/tilt",
		"6 to fix",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the doctor does not print %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "go  ") || strings.Contains(out, "curl  ") {
		t.Errorf("the doctor reports tools that are installed:\n%s", out)
	}
}

// The Tiltfile and the doctor require the same version of Tilt.
func TestDoctorAndTiltfileRequireTheSameTilt(t *testing.T) {
	t.Parallel()
	d, err := run(start{})
	if err != nil {
		t.Fatal(err)
	}
	got := d.calls["version_settings"][0]["constraint"]
	if got != ">=0.36.0" || !strings.Contains(read(t, "tools/dev/doctor"), "tilt     0.36 ") {
		t.Errorf("the Tiltfile requires Tilt %v, want >=0.36.0 in the Tiltfile and 0.36 in tools/dev/doctor", got)
	}
}
