package tilt_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestANewBuildIsSyncedToAWritableFolder checks that a writable volume is mounted at the folder, because the root file system of the pods
// is read-only. "tilt ci" would not find a missing volume, because it changes no file.
func TestANewBuildIsSyncedToAWritableFolder(t *testing.T) {
	t.Parallel()
	d := declare(t, nil)
	build := d.calls["docker_build"][0]
	synced := 0
	for _, step := range options(build["live_update"]) {
		local, remote := text(step, "local_path"), text(step, "remote_path")
		if remote == "" {
			continue
		}
		synced++
		if !strings.HasPrefix(local, text(build, "context")+"/") {
			t.Errorf("%s is synced, but is not part of %s", local, build["context"])
		}
		mounts, _ := d.container()["volumeMounts"].([]any)
		if !slices.ContainsFunc(mounts, func(m any) bool {
			return text(m, "mountPath") == filepath.Dir(remote) && at(m, "readOnly") == nil
		}) {
			t.Errorf("no writable volume is mounted at %s", filepath.Dir(remote))
		}
		if filepath.Dir(remote) != "/live" || !strings.Contains(read(t, "tilt/entrypoint"), "LIVE:-/live") {
			t.Errorf("tilt/entrypoint does not read %s", remote)
		}
	}
	if synced != 1 {
		t.Errorf("%d files are synced, want 1", synced)
	}
}

// TestResourcesStartInOrder checks the declared order. "tilt ci" also succeeds without the order, because pods are restarted.
func TestResourcesStartInOrder(t *testing.T) {
	t.Parallel()
	resources := declare(t, nil).resources()
	for name, want := range map[string][]string{
		"migrate":             {"compile", "postgresql"},
		"user-service":        {"migrate", "rabbitmq"},
		"user-service-mailer": {"migrate", "rabbitmq", "mailpit"},
	} {
		if got := words(resources[name]["resource_deps"]); !slices.Equal(got, want) {
			t.Errorf("%s waits for %v, want %v", name, got, want)
		}
	}
}

// TestAChangeIsCompiledWhileCommandsRun checks that Tilt does not wait for a command, such as the load, before it compiles a change.
func TestAChangeIsCompiledWhileCommandsRun(t *testing.T) {
	t.Parallel()
	resources := declare(t, nil).resources()
	for _, name := range []string{"compile", "unit-tests", "lint", "e2e", "load"} {
		if resources[name]["allow_parallel"] != true {
			t.Errorf("while %s runs, Tilt starts nothing else", name)
		}
	}
}

// TestTheEndToEndTestsHaveTheirOwnCluster checks that they run without the KUBECONFIG of the dev cluster, which Tilt gives each command.
func TestTheEndToEndTestsHaveTheirOwnCluster(t *testing.T) {
	t.Parallel()
	if got := words(declare(t, nil).resources()["e2e"]["cmd"]); !slices.Equal(got, []string{"env", "-u", "KUBECONFIG", "make", "e2e"}) {
		t.Errorf("e2e runs %v", got)
	}
	out, err := exec.Command("env", "-u", "KUBECONFIG", "sh", "-c", `echo "${KUBECONFIG-unset}"`).Output()
	if err != nil || string(out) != "unset\n" {
		t.Errorf("the command gets KUBECONFIG=%s (%v)", out, err)
	}
}

// TestLogsAreReadable checks that Tilt does not replace the values of the dev Secrets, such as "rabbitmq" and "development", in logs.
func TestLogsAreReadable(t *testing.T) {
	t.Parallel()
	if got := declare(t, nil).calls["secret_settings"]; len(got) != 1 || got[0]["disable_scrub"] != true {
		t.Errorf("the settings of secrets are %v", got)
	}
}

// TestAFailedMigrationIsShown checks that a failure ends the Job, and that "tilt down" finds the Job of other settings.
func TestAFailedMigrationIsShown(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]any{nil, {"debugger": true}} {
		job := declare(t, settings).find("Job", "user-service-migrate")
		if got := fmt.Sprint(at(job, "spec", "backoffLimit")); job == nil || got != "0" {
			t.Errorf("with %v, the migration has the Job %v, which is repeated %s times", settings, text(job, "metadata", "name"), got)
		}
	}
}

// TestLinksLeadToForwardedPorts checks the links, because "tilt ci" does not follow them.
func TestLinksLeadToForwardedPorts(t *testing.T) {
	t.Parallel()
	for name, r := range declare(t, nil).resources() {
		var forwarded []string
		for _, forward := range options(r["port_forwards"]) {
			forwarded = append(forwarded, fmt.Sprint(forward["local_port"]))
		}
		for _, link := range options(r["links"]) {
			port, _, _ := strings.Cut(strings.TrimPrefix(text(link, "url"), "http://localhost:"), "/")
			if !slices.Contains(forwarded, port) {
				t.Errorf("%s has the link %s, but does not forward that port", name, link["url"])
			}
		}
	}
}

// TestCommandsAndTheirFilesExist also covers manual commands, which "tilt ci" does not run.
func TestCommandsAndTheirFilesExist(t *testing.T) {
	t.Parallel()
	for _, call := range declare(t, nil).calls["local_resource"] {
		for _, path := range words(call["deps"]) {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s watches: %v", call["name"], err)
			}
		}
		for _, argv := range [][]string{words(call["cmd"]), words(call["serve_cmd"])} {
			if len(argv) > 0 {
				checkCommand(t, argv)
			}
		}
	}
}

// checkCommand fails unless a command is an existing script or a target of the Makefile.
func checkCommand(t *testing.T, argv []string) {
	t.Helper()
	if len(argv) > 3 && slices.Equal(argv[:2], []string{"env", "-u"}) {
		argv = argv[3:]
	}
	switch argv[0] {
	case "make":
		if !strings.Contains(read(t, "Makefile"), "\n"+argv[1]+":") {
			t.Errorf("the Makefile has no %s", argv[1])
		}
	default:
		info, err := os.Stat(argv[0])
		if err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s can't be run: %v", argv[0], err)
		}
		if argv[0] == "tilt/actions" && !strings.Contains(read(t, argv[0]), "\n  "+argv[1]+") ") {
			t.Errorf("tilt/actions does not have %s", argv[1])
		}
	}
}
