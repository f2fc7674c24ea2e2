// Package compose_test checks compose.yaml. It is a separate module, because only these tests require compose-go.
package compose_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const (
	root = "../.."
	// secrets is the folder of the generated files in containers of the program.
	secrets = "/run/secrets/user-service"
	program = "user-service:local"
	samples = "user-service-shop:local"
)

// load reads compose.yaml with the checks of the schema and of all references between its parts.
func load(t *testing.T) *types.Project {
	t.Helper()
	file := types.ConfigFile{Filename: filepath.Join(root, "compose.yaml")}
	details := types.ConfigDetails{WorkingDir: root, ConfigFiles: []types.ConfigFile{file}, Environment: types.Mapping{}}
	project, err := loader.LoadWithContext(context.Background(), details, func(o *loader.Options) { o.SkipNormalization = false })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestPublishedPortsAreLocal(t *testing.T) {
	t.Parallel()
	published := 0
	for name, service := range load(t).Services {
		for _, port := range service.Ports {
			published++
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s on %q, want 127.0.0.1", name, port.Published, port.HostIP)
			}
		}
	}
	if published == 0 {
		t.Error("no port is published")
	}
}

func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	for name, service := range load(t).Services {
		if service.Image == program || service.Image == samples {
			if service.Build == nil || service.Build.Context == "" {
				t.Errorf("%s has no build", name)
			}
			continue
		}
		if !regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$`).MatchString(service.Image) {
			t.Errorf("%s has the image %s, want a version", name, service.Image)
		}
	}
}

// TestDependenciesHaveHealthChecks checks that each service waits until a server is healthy, or until a program has ended.
func TestDependenciesHaveHealthChecks(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, service := range project.Services {
		for on, dependency := range service.DependsOn {
			switch target := project.Services[on]; dependency.Condition {
			case types.ServiceConditionHealthy:
				if target.HealthCheck == nil {
					t.Errorf("%s waits for the health of %s, which has no check", name, on)
				}
			case types.ServiceConditionCompletedSuccessfully:
				if target.HealthCheck != nil || target.Restart == types.RestartPolicyUnlessStopped {
					t.Errorf("%s waits for the end of %s, which keeps running", name, on)
				}
			default:
				t.Errorf("%s depends on %s with the condition %q", name, on, dependency.Condition)
			}
		}
	}
}

// TestNoFileHasASecret checks that the files contain no secrets. The containers read them from files of a volume instead.
func TestNoFileHasASecret(t *testing.T) {
	t.Parallel()
	hidden := regexp.MustCompile(`(?i)(secret|pass|password|key|database_url)$`)
	for name, service := range load(t).Services {
		for variable, value := range service.Environment {
			if hidden.MatchString(variable) && value != nil && *value != "" {
				t.Errorf("%s sets %s to a value, want a file", name, variable)
			}
		}
	}
}

// TestVariablesAreKnown compares the environment of each container of the program with .env.example.
func TestVariablesAreKnown(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, m := range regexp.MustCompile(`(?m)^#([A-Z][A-Z0-9_]*)=`).FindAllStringSubmatch(string(example), -1) {
		known = append(known, m[1])
	}
	checked := 0
	for name, service := range load(t).Services {
		if service.Image != program {
			continue
		}
		for variable := range service.Environment {
			checked++
			if !slices.Contains(known, strings.TrimSuffix(variable, "_FILE")) {
				t.Errorf("%s sets %s, which the program does not know", name, variable)
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d variables are checked", checked)
	}
}

// TestTheProgramAcceptsTheGeneratedSecrets runs the script of the service secrets, and user-service config with its files.
func TestTheProgramAcceptsTheGeneratedSecrets(t *testing.T) {
	t.Parallel()
	project := load(t)
	dir := t.TempDir()
	generate(t, project.Services["secrets"], dir)
	first := contents(t, dir)
	generate(t, project.Services["secrets"], dir)
	for name, content := range contents(t, dir) {
		if content != first[name] {
			t.Errorf("the second start changed %s", name)
		}
	}
	if len(first) != 7 {
		t.Errorf("the files are %v, want seven", first)
	}
	path := filepath.Join(t.TempDir(), "user-service")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", root, "-o", path,
		"./cmd/user-service").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v: %s", err, out)
	}
	command := exec.CommandContext(t.Context(), path, "config")
	for _, name := range []string{"service", "mailer"} {
		for variable, value := range project.Services[name].Environment {
			command.Env = append(command.Env, variable+"="+strings.Replace(*value, secrets, dir, 1))
		}
	}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("user-service config: %v\n%s", err, out)
	}
}

// generate runs the script of a service with a folder in place of its volume.
func generate(t *testing.T, service types.ServiceConfig, dir string) {
	t.Helper()
	// compose-go keeps $$, which compose itself replaces.
	script := strings.NewReplacer("cd /secrets", "cd "+dir, "/broker/", dir+"/").Replace(service.Command[0])
	entrypoint := service.Entrypoint
	run := exec.CommandContext(t.Context(), entrypoint[0], append(entrypoint[1:], script)...) //nolint:gosec // of this repository
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("the script of secrets: %v: %s", err, out)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(text)
	}
	return all
}

// TestEachCommandOfTheGuideHasALine reads the commands of docs/compose.md. A reader copies whole lines.
func TestEachCommandOfTheGuideHasALine(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(read(t, filepath.Join(root, "docs/compose.md")), -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "|\n", "|")) {
			line = strings.TrimSpace(line)
			program, _, _ := strings.Cut(line, " ")
			if !slices.Contains([]string{"docker", "openssl", "#"}, program) || strings.Count(line, "docker compose") > 1 {
				t.Errorf("the line %q is not one command", line)
			}
			commands++
		}
	}
	if commands < 8 {
		t.Errorf("docs/compose.md has %d commands, want at least 8", commands)
	}
}
