package tilt_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// checkout copies the project to a folder in which a test can change files, as a developer does.
func checkout(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	copied := exec.Command("cp", "-R", "go.mod", "go.sum", "api", "cmd", "internal", "migrations", "pkg", "tilt", folder)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return folder
}

func compile(t *testing.T, folder string, args ...string) {
	t.Helper()
	command := exec.Command(filepath.Join(folder, "tilt/compile"), args...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("tilt/compile: %v: %s", err, out)
	}
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text := read(t, path)
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

var copied = regexp.MustCompile(`(?m)^COPY ([^-].*) /$`)

func TestAChangeIsCompiledOnlyIntoItsImages(t *testing.T) {
	t.Parallel()
	folder := checkout(t)
	service, migrate := filepath.Join(folder, "bin/tilt/service"), filepath.Join(folder, "bin/tilt/migrate")
	compile(t, folder, "--arch", "amd64")
	for _, context := range []string{service, migrate} {
		for _, file := range strings.Fields(copied.FindStringSubmatch(read(t, "tilt/Dockerfile"))[1]) {
			if info, err := os.Stat(filepath.Join(context, file)); err != nil || info.Mode()&0o005 != 0o005 {
				t.Errorf("the image can't contain %s: %v", file, err)
			}
		}
	}
	static(t, filepath.Join(service, "user-service"))
	s, m := read(t, service+"/user-service"), read(t, migrate+"/user-service")

	compile(t, folder, "--arch", "amd64")
	if read(t, service+"/user-service") != s {
		t.Error("the same code results in a different program")
	}
	edit(t, filepath.Join(folder, "pkg/user/profile.go"), "must be a BCP 47 language tag", "must be a tag")
	compile(t, folder, "--arch", "amd64")
	if read(t, service+"/user-service") == s {
		t.Error("a change of the code is not compiled")
	}
	if read(t, migrate+"/user-service") != m {
		t.Error("a change of the code repeats the migrations")
	}
	edit(t, filepath.Join(folder, "migrations/00004_token_keys.sql"), "-- +goose Up", "-- A change.\n-- +goose Up")
	compile(t, folder, "--arch", "amd64")
	if read(t, migrate+"/user-service") == m {
		t.Error("a change of the migrations does not repeat them")
	}
	for _, context := range []string{service, migrate} { // Tilt would rebuild the image for any other file
		if files, _ := os.ReadDir(context); len(files) != 2 {
			t.Errorf("%s has the files %v, want 2", context, files)
		}
	}
}

// static fails for a program that requires a system library, because the image has none.
func static(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	libraries, err := program.ImportedLibraries()
	if err != nil || len(libraries) > 0 || program.Machine != elf.EM_X86_64 {
		t.Errorf("%s is for %v and needs %v (%v)", path, program.Machine, libraries, err)
	}
}
