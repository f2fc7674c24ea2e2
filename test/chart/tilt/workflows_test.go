package tilt_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	uses   = regexp.MustCompile(`uses: (.*)`)
	pinned = regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	script = regexp.MustCompile(`(?m)(?:run:|^) *((?:\.ci|k8s|test|tilt|tools)/[\w./-]+)`)
)

// A tag can be moved to other code; a commit can't.
func TestWorkflowsUseCommitsAndExistingScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(".github/workflows/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	scripts := 0
	for _, file := range files {
		text := read(t, file)
		for _, match := range uses.FindAllStringSubmatch(text, -1) {
			if !pinned.MatchString(match[1]) && !strings.HasPrefix(match[1], "./") { // a workflow of this commit
				t.Errorf("%s uses %s, want a commit", file, match[1])
			}
		}
		for _, match := range script.FindAllStringSubmatch(text, -1) {
			scripts++
			if info, err := os.Stat(match[1]); err != nil || info.Mode()&0o111 == 0 {
				t.Errorf("%s runs %s: %v", file, match[1], err)
			}
		}
		if !strings.Contains(text, "\npermissions:\n  contents: read\n") {
			t.Errorf("%s may do more than read by default", file)
		}
	}
	if scripts < 3 {
		t.Errorf("only %d scripts are run", scripts)
	}
}
