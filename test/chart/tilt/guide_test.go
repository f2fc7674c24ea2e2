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
)

// The commands and changes of the guide must work.
func TestTheFirstChangeIsAsTheGuideSays(t *testing.T) {
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
	in("tilt/do", "migration", "nickname")
	made, err := filepath.Glob(filepath.Join(folder, "migrations/*_nickname.sql"))
	if err != nil || len(made) != 1 {
		t.Fatalf("tilt/do makes %v", made)
	}
	if err := os.WriteFile(made[0], []byte(sql.FindStringSubmatch(guide)[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := patch.FindAllStringSubmatch(guide, -1)
	if len(steps) != 5 {
		t.Fatalf("%d patches", len(steps))
	}
	for _, step := range steps {
		file := filepath.Join(folder, "step.patch")
		if err := os.WriteFile(file, []byte(step[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		in("git", "apply", file)
	}
	if out := in("gofmt", "-l", "pkg", "cmd"); out != "" {
		t.Errorf("not formatted: %s", out)
	}
	compile(t, folder, "--arch", "amd64")
	in("go", "vet", "./pkg/httpapi")
	in("go", "test", "./pkg/user", "./api")
}
