package tilt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	sql   = regexp.MustCompile("(?s)```sql\n(.*?)```")
	patch = regexp.MustCompile("(?s)```diff\n(.*?)```")

	target = regexp.MustCompile(`(?m)^\+\+\+ b/(.+)$`) // the file that a patch changes
)

// maxFiles is the limit for the files that a new profile field changes, including the migration and two pages of documentation.
const maxFiles = 8

// TestTheFirstChangeOfTheGuideWorks applies the guide's patches to a copy of the project, and runs the tests of the new field
// against PostgreSQL.
func TestTheFirstChangeOfTheGuideWorks(t *testing.T) {
	t.Parallel()
	folder := checkout(t)
	in := func(name string, args ...string) string {
		command := exec.Command(name, args...)
		command.Dir = folder
		// The folder must not belong to a repository in a parent folder.
		command.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(folder))
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	guide := read(t, "docs/development.md")
	in("tilt/actions", "migration", "nickname")
	made, err := filepath.Glob(filepath.Join(folder, "migrations/*_nickname.sql"))
	if err != nil || len(made) != 1 {
		t.Fatalf("tilt/actions creates the migrations %v, want one", made)
	}
	if err := os.WriteFile(made[0], []byte(sql.FindStringSubmatch(guide)[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := patch.FindAllStringSubmatch(guide, -1)
	if len(steps) != 3 {
		t.Fatalf("the guide has %d patches, want 3", len(steps))
	}
	changed := []string{made[0], "CHANGELOG.md", "docs/migrate-from-fastapi.md"}
	for _, step := range steps {
		for _, file := range target.FindAllStringSubmatch(step[1], -1) {
			changed = append(changed, file[1])
		}
		file := filepath.Join(folder, "step.patch")
		if err := os.WriteFile(file, []byte(step[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		in("git", "apply", file)
	}
	if len(changed) > maxFiles {
		t.Errorf("a field changes %d files, want at most %d: %v", len(changed), maxFiles, changed)
	}
	if out := in("gofmt", "-l", "pkg", "cmd"); out != "" {
		t.Errorf("not formatted: %s", out)
	}
	compile(t, folder, "--arch", "amd64")
	in("go", "test", "./pkg/user", "./pkg/importer", "./api")
	services, err := filepath.Abs("tools/dev/with-services")
	if err != nil {
		t.Fatal(err)
	}
	tests := []string{"TestEachFieldOfAProfileIsStored", "TestANicknameIsKeptAndAnnounced"}
	out := in(services, "go", "test", "-v", "-run", "^("+strings.Join(tests, "|")+")$", "./pkg/postgres", "./pkg/httpapi")
	for _, name := range tests {
		if !strings.Contains(out, "--- PASS: "+name) {
			t.Errorf("%s does not run:\n%s", name, out)
		}
	}
}
