// Command chartschemas writes strict JSON schemas of the Kubernetes objects in this repository for kubeconform, which would
// otherwise need the internet.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
)

const usage = `Usage: chartschemas DIR
       chartschemas -crds CRDS DIR
       chartschemas -excerpt MANIFESTS DIR

Writes a file KIND_GROUP_VERSION.json into DIR, in lower case, for each kind of object
that Kubernetes itself and the operators of the examples have. They come from the Go
modules of these projects, which are downloaded once.

With -crds, the kinds come from the CustomResourceDefinitions in the folder CRDS.
With -excerpt, the program reduces the schemas in DIR to the members that the files MANIFESTS
use (a pattern such as 'k8s/production/*.yaml'), and deletes the schemas of other kinds.

Example:
  chartschemas schemas
  kubeconform -strict -schema-location \
    'schemas/{{ .ResourceKind }}_{{ .Group }}_{{ .ResourceAPIVersion }}.json' FILE
`

// The Go module with the OpenAPI document of all built-in kinds.
const (
	kubernetes = "k8s.io/kubernetes@v1.37.2"
	openAPI    = "api/openapi-spec/swagger.json"
)

// definitions has the CustomResourceDefinitions that this repository uses, by Go module.
var definitions = []struct{ module, files string }{
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "jsonnet/prometheus-operator/*-crd.json"},
	{"sigs.k8s.io/gateway-api@v1.6.3", "config/crd/standard/gateway.networking.k8s.io_*.yaml"},
	{"github.com/external-secrets/external-secrets@v1.3.2", "config/crds/bases/external-secrets.io_*secret*.yaml"},
	{"github.com/argoproj/argo-cd/v3@v3.5.7", "manifests/crds/application-crd.yaml"},
	{"github.com/fluxcd/source-controller@v1.9.6", "config/crd/bases/*.yaml"},
	{"github.com/cloudnative-pg/cloudnative-pg@v1.30.0", "config/crd/bases/*.yaml"},
	{"github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0", "config/crd/bases/*.yaml"},
	{"github.com/cert-manager/cert-manager@v1.21.2", "deploy/crds/cert-manager.io_*.yaml"},
	{"github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"},
	{"istio.io/api@v1.32.0", "kubernetes/customresourcedefinitions.gen.yaml"},
	{"github.com/envoyproxy/gateway@v1.9.1", "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_*.yaml"},
	{"github.com/traefik/traefik/v3@v3.7.13", "docs/content/reference/dynamic-configuration/traefik.io_*.yaml"},
}

func main() {
	crds := flag.String("crds", "", "folder of CustomResourceDefinitions")
	manifests := flag.String("excerpt", "", "pattern of files whose members the schemas keep")
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *crds, *manifests, flag.Arg(0), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chartschemas:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, crds, manifests, dir string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	switch {
	case manifests != "":
		return excerpt(manifests, dir)
	case crds != "":
		return writeFiles(filepath.Join(crds, "*.yaml"), dir)
	}
	fmt.Fprintln(out, "schemas of", kubernetes)
	source, err := download(ctx, kubernetes)
	if err != nil {
		return err
	}
	if err := writeBuiltIn(filepath.Join(source, openAPI), dir); err != nil {
		return fmt.Errorf("schemas of %s: %w", kubernetes, err)
	}
	for _, d := range definitions {
		fmt.Fprintln(out, "schemas of", d.module)
		source, err := download(ctx, d.module)
		if err != nil {
			return err
		}
		if err := writeFiles(filepath.Join(source, d.files), dir); err != nil {
			return fmt.Errorf("schemas of %s: %w", d.module, err)
		}
	}
	return nil
}

func writeFiles(pattern, dir string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file matches %s", pattern)
	}
	for _, file := range files {
		if err := writeCustom(file, dir); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// download returns the directory of a module in the module cache.
func download(ctx context.Context, module string) (string, error) {
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", module) //nolint:gosec // a module that is named below
	out, runErr := command.Output()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("download %s: %w: %s", module, runErr, out)
	}
	if answer.Error != "" {
		return "", fmt.Errorf("download %s: %s", module, answer.Error)
	}
	return answer.Dir, runErr
}

func write(dir, kind, group, version string, schema object) error {
	if group == "" {
		group = version // kubeconform's name of the core group
	}
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	text, err := json.Marshal(schema, json.Deterministic(true))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileName(kind, group, version)), text, 0o600)
}

func fileName(kind, group, version string) string {
	return strings.ToLower(kind + "_" + group + "_" + version + ".json")
}
