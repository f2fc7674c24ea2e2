package tilt_test

import (
	"fmt"
	"os"
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
