package tilt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// starts uses each setting at least once, and so each branch of the Tiltfile.
var starts = map[string]start{
	"as it is":           {},
	"in CI":              {subcommand: "ci"},
	"debugger":           {settings: map[string]any{"debugger": true}},
	"race detector":      {settings: map[string]any{"race": true}},
	"both":               {settings: map[string]any{"debugger": true, "race": true}},
	"replicas":           {settings: map[string]any{"replicas": "3"}},
	"without monitoring": {settings: map[string]any{"without-monitoring": true}},
	"another cluster":    {settings: map[string]any{"context": "mine"}, context: "mine"},
}

// declarations runs the Tiltfile once for each start, for all tests.
var declarations = sync.OnceValue(func() map[string]func() (*declared, error) {
	all := map[string]func() (*declared, error){}
	for name, s := range starts {
		all[name] = sync.OnceValues(func() (*declared, error) { return run(s) })
	}
	return all
})

// eachStart runs a test on the declarations of each start. Assembling them checks that every object belongs to one resource.
func eachStart(t *testing.T, test func(t *testing.T, d *declared)) {
	t.Helper()
	for name, run := range declarations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := run()
			if err != nil {
				t.Fatal(err)
			}
			test(t, d)
		})
	}
}

func TestEachImageIsBuiltOrPinned(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		built, used := map[string]bool{}, map[string]bool{}
		for _, call := range d.calls["docker_build"] {
			built[call["ref"].(string)] = true
		}
		for name, r := range d.resources {
			for _, c := range r.containers() {
				image, tag, _ := strings.Cut(text(c, "image"), ":")
				used[image] = true
				if !built[image] && !strings.ContainsAny(tag, "0123456789") {
					t.Errorf("%s has the image %s, which is neither built nor of a version", name, text(c, "image"))
				}
			}
		}
		for image := range built {
			if !used[image] {
				t.Errorf("no pod has the image %s", image)
			}
		}
	})
}

var stage = regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)$`)

func TestWhatTheImagesAreMadeOfIsThere(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		for _, call := range d.calls["docker_build"] {
			dockerfile := read(t, call["dockerfile"].(string))
			if stages := stage.FindAllStringSubmatch(dockerfile, -1); !slices.ContainsFunc(stages, func(s []string) bool { return s[1] == call["target"] }) {
				t.Errorf("%s has no stage %s", call["dockerfile"], call["target"])
			}
			if context := call["context"].(string); !strings.Contains(read(t, "tilt/compile"), context) {
				t.Errorf("tilt/compile does not write %s", context)
			}
			for _, step := range options(call["live_update"]) {
				if path, ok := step["local_path"].(string); ok && !strings.HasPrefix(path, call["context"].(string)+"/") {
					t.Errorf("%s is synced and not part of %s", path, call["context"])
				}
			}
		}
	})
}

// The root file system of the pods is read-only.
func TestANewBuildGoesWhereItCanBeWrittenAndIsRun(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		container := d.resources["user-service"].containers()[0]
		synced := 0
		for _, step := range options(d.calls["docker_build"][0]["live_update"]) {
			path, ok := step["remote_path"].(string)
			if !ok {
				continue
			}
			synced++
			mounts, _ := container["volumeMounts"].([]any)
			if !slices.ContainsFunc(mounts, func(m any) bool { return text(m, "mountPath") == filepath.Dir(path) && at(m, "readOnly") == nil }) {
				t.Errorf("nothing is mounted at %s", filepath.Dir(path))
			}
			if filepath.Dir(path) != "/live" || !strings.Contains(read(t, "tilt/entrypoint"), "LIVE:-/live") {
				t.Errorf("tilt/entrypoint does not look at %s", path)
			}
		}
		if synced != 1 {
			t.Errorf("%d files are synced, not one", synced)
		}
	})
}

func TestPortsAndLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		owner := map[string]string{}
		for name, r := range d.resources {
			for _, forward := range options(r.options["port_forwards"]) {
				local := fmt.Sprint(forward["local_port"])
				if owner[local] != "" {
					t.Errorf("the port %s is forwarded to %s and to %s", local, owner[local], name)
				}
				owner[local] = name
				if !r.listens(fmt.Sprint(forward["container_port"])) {
					t.Errorf("%s forwards to %v, where it does not listen", name, forward["container_port"])
				}
			}
		}
		for name, r := range d.resources {
			for _, link := range options(r.options["links"]) {
				port, _, _ := strings.Cut(strings.TrimPrefix(link["url"].(string), "http://localhost:"), "/")
				if owner[port] != name {
					t.Errorf("%s has the link %s, and does not forward that port", name, link["url"])
				}
			}
		}
	})
}

// listens reports whether a container declares the port, or is configured to open it.
func (r *resource) listens(port string) bool {
	for _, c := range r.containers() {
		ports, _ := c["ports"].([]any)
		env, _ := c["env"].([]any)
		if slices.ContainsFunc(ports, func(p any) bool { return fmt.Sprint(at(p, "containerPort")) == port }) ||
			slices.ContainsFunc(env, func(e any) bool { return text(e, "value") == ":"+port }) {
			return true
		}
	}
	return false
}

func TestWhatPodsMountIsThere(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		for name, r := range d.resources {
			for _, reference := range references(at(r.pod, "spec")) {
				if !slices.ContainsFunc(d.objects, func(o object) bool { return text(o, "kind")+" "+text(o, "metadata", "name") == reference }) {
					t.Errorf("%s mounts the %s, which nothing makes", name, reference)
				}
			}
		}
	})
}

// references finds the ConfigMaps and Secrets in a pod's spec, optional ones too.
func references(v any) []string {
	var all []string
	switch v := v.(type) {
	case []any:
		for _, member := range v {
			all = append(all, references(member)...)
		}
	case map[string]any:
		for key, member := range v {
			kind := map[string]string{"configMap": "ConfigMap", "secret": "Secret", "secretKeyRef": "Secret"}[key]
			name := text(member, "name")
			if kind == "Secret" && name == "" {
				name = text(member, "secretName")
			}
			if kind != "" {
				all = append(all, kind+" "+name)
			} else {
				all = append(all, references(member)...)
			}
		}
	}
	return all
}

func TestDatabaseMigrationAndServiceComeInThisOrder(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		for name, r := range d.resources {
			for _, dep := range words(r.options["resource_deps"]) {
				if d.resources[dep] == nil {
					t.Errorf("%s waits for %s, which is not there", name, dep)
				}
			}
			if len(words(r.options["labels"])) != 1 {
				t.Errorf("%s is in no group", name)
			}
			if slices.Contains(d.before(name), name) {
				t.Errorf("%s waits for itself", name)
			}
		}
		before := d.before("user-service")
		for _, name := range []string{"namespace", "postgresql", "rabbitmq", "compile", "migrate"} {
			if !slices.Contains(before, name) {
				t.Errorf("user-service does not wait for %s, but for %v", name, before)
			}
		}
		if !slices.Contains(d.before("migrate"), "postgresql") {
			t.Error("the migration does not wait for PostgreSQL")
		}
	})
}

// before returns the direct and indirect dependencies of a resource.
func (d *declared) before(name string) []string {
	var all []string
	todo := words(d.resources[name].options["resource_deps"])
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if r := d.resources[next]; r != nil && !slices.Contains(all, next) {
			all = append(all, next)
			todo = append(todo, words(r.options["resource_deps"])...)
		}
	}
	return all
}

func TestCommandsAndTheirFilesAreThere(t *testing.T) {
	t.Parallel()
	eachStart(t, func(t *testing.T, d *declared) {
		for _, call := range d.calls["local_resource"] {
			for _, path := range words(call["deps"]) {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s watches: %v", call["name"], err)
				}
			}
			for _, argv := range [][]string{words(call["cmd"]), words(call["serve_cmd"])} {
				if len(argv) > 0 {
					runnable(t, argv)
				}
			}
		}
		compile := words(d.calls["local_resource"][0]["cmd"])
		if !slices.Equal(compile[:3], []string{"tilt/compile", "--arch", architecture}) {
			t.Errorf("it compiles with %v", compile)
		}
		for _, flag := range compile[1:] {
			if strings.HasPrefix(flag, "--") && !strings.Contains(read(t, "tilt/compile"), "\n    "+flag+")") {
				t.Errorf("tilt/compile does not know %s", flag)
			}
		}
	})
}

// runnable fails unless a command is an existing script or a target of the Makefile.
func runnable(t *testing.T, argv []string) {
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
			t.Errorf("tilt/actions does not know %s", argv[1])
		}
	}
}
