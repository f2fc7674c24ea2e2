package tilt_test

import (
	"maps"
	"net"
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

// programs returns a folder with scripts in place of programs that a test can't run.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	bin := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// link adds programs of the system to a folder.
func link(t *testing.T, bin string, names ...string) {
	t.Helper()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// doctor runs tools/dev/doctor. says has the output of programs by name; the other programs are the system's.
func doctor(t *testing.T, says map[string]string, env ...string) (string, error) {
	t.Helper()
	scripts := map[string]string{}
	for name, text := range says {
		scripts[name] = "cat <<'E'\n" + text + "\nE\n"
		if text == "" {
			scripts[name] = "exit 1\n"
		}
	}
	bin := programs(t, scripts)
	link(t, bin, "bash", "cat", "env", "grep", "head", "sh")
	command := exec.Command("tools/dev/doctor")
	command.Env = append([]string{"PATH=" + bin}, env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestTheDoctorAcceptsACompleteMachine(t *testing.T) {
	t.Parallel()
	if out, err := doctor(t, well); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheDoctorAcceptsPodman also covers podman under the name docker.
func TestTheDoctorAcceptsPodman(t *testing.T) {
	t.Parallel()
	for _, docker := range []string{"", "podman version 5.4.2"} {
		says := maps.Clone(well)
		says["podman"], says["docker"] = "podman version 5.4.2", docker
		if docker == "" {
			delete(says, "docker")
		}
		socket := filepath.Join(t.TempDir(), "s")
		if out, err := doctor(t, says, "DOCKER_HOST=unix://"+socket); err == nil || !strings.Contains(out, "podman   has no socket") {
			t.Errorf("without a socket: %v: %s", err, out)
		}
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		if out, err := doctor(t, says, "DOCKER_HOST=unix://"+socket); err != nil || out != "" {
			t.Errorf("docker is %q: %v: %s", docker, err, out)
		}
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
