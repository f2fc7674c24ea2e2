package consistency_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheImageKnowsItsRevision builds the program with the command of the Dockerfile.
func TestTheImageKnowsItsRevision(t *testing.T) {
	t.Parallel()
	command := match(t, "Dockerfile", `(?s)\n    (CGO_ENABLED=0 .*?go build .*? \./cmd/user-service)\n`)
	program := filepath.Join(t.TempDir(), "user-service")
	build := exec.Command("sh", "-euc", strings.Replace(command, "-o /user-service", "-o "+program, 1))
	build.Dir = root
	build.Env = append(os.Environ(), "TARGETOS=", "TARGETARCH=", "VERSION=1.2.3", "REVISION=0123abc")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "user-service 1.2.3 (revision 0123abc, "; !strings.HasPrefix(string(out), want) {
		t.Errorf("the program prints %s, want %s…", out, want)
	}
}

// updates is the part of renovate.json that these tests check.
type updates struct {
	IgnorePaths    []string `json:"ignorePaths"`
	CustomManagers []struct {
		ManagerFilePatterns []string `json:"managerFilePatterns"`
		MatchStrings        []string `json:"matchStrings"`
	} `json:"customManagers"`
}

func readUpdates(t *testing.T) (config updates) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "renovate.json")), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// updated returns the versions that Renovate's custom managers update in a file.
func (u updates) updated(name, text string) map[string]bool {
	versions := map[string]bool{}
	for _, manager := range u.CustomManagers {
		if !slices.ContainsFunc(manager.ManagerFilePatterns, func(pattern string) bool {
			return regexp.MustCompile(strings.Trim(pattern, "/")).MatchString(name)
		}) {
			continue
		}
		for _, pattern := range manager.MatchStrings {
			matcher := regexp.MustCompile(pattern)
			for _, m := range matcher.FindAllStringSubmatch(text, -1) {
				versions[m[matcher.SubexpIndex("currentValue")]] = true
			}
		}
	}
	return versions
}

// TestRenovateUpdatesEachPinnedVersion compares the pinned versions in some files with the versions that Renovate's custom managers find.
func TestRenovateUpdatesEachPinnedVersion(t *testing.T) {
	t.Parallel()
	pins := regexp.MustCompile(`@(v\d[\w.+-]*)|_VERSION: ([\d.]+)|\nversion=(v[\d.]+)|download/(v[\d.]+)/[^$]|(?:imageName|node): [^:\s]+:([\w.-]+)|` +
		`[ -](?:golang|postgres|rabbitmq|[\w./-]+/pgbouncer):(\d[\w.-]*)`)
	config, found := readUpdates(t), map[string]int{}
	for _, pattern := range []string{
		"tools/dev/*", "tools/chartschemas/main.go", ".github/workflows/*.yaml", "test/e2e/run", "test/e2e/*.sh", "tilt/compile",
		"tilt/Dockerfile",
		"k8s/production/*.yaml",
	} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s: %v", pattern, err)
		}
		for _, file := range files {
			name, _ := filepath.Rel(root, file)
			text := read(t, name)
			known := config.updated(name, text)
			for _, m := range pins.FindAllStringSubmatch(text, -1) {
				version := strings.Join(m[1:], "")
				found[pattern]++
				if !known[version] {
					t.Errorf("%s has the version %s (%s), which no manager of renovate.json matches", name, version,
						strings.TrimSpace(m[0]))
				}
			}
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%s: %d versions", pattern, found[pattern])
	}
	if found["tools/dev/*"] < 10 || found["tools/chartschemas/main.go"] < 5 || found[".github/workflows/*.yaml"] < 5 {
		t.Errorf("too few versions were found: %v", found)
	}
}

// TestRenovateIgnoresNoFolder checks an override of the preset config:recommended. The preset ignores the folders test and examples, which
// have Go modules here.
func TestRenovateIgnoresNoFolder(t *testing.T) {
	t.Parallel()
	if paths := readUpdates(t).IgnorePaths; paths == nil || len(paths) != 0 {
		t.Errorf("ignorePaths is %v, want an empty list", paths)
	}
}

// TestTheNotesOfAReleaseAreItsSection runs the release workflow's script on a changelog.
func TestTheNotesOfAReleaseAreItsSection(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "CHANGELOG.md")
	text := "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- A tower.\n\n## [0.1.0]\n\n- A " +
		"house.\n\n[0.2.0]: https://x\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := func(version string) (string, error) {
		out, err := exec.Command(filepath.Join(root, ".ci/release-notes"), version, file).Output()
		return strings.TrimSpace(string(out)), err
	}
	for version, want := range map[string]string{"0.2.0": "### Added\n\n- A tower.", "0.1.0": "- A house."} {
		if got, err := notes(version); err != nil || got != want {
			t.Errorf("the notes of %s are %q (%v), want %q", version, got, err, want)
		}
	}
	for _, version := range []string{"Unreleased", "0.3.0", "0.2"} {
		if got, err := notes(version); err == nil {
			t.Errorf("%s has the notes %q, want an error", version, got)
		}
	}
}
