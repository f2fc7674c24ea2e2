// Package chart_test checks the Helm chart and the manifests of k8s without a cluster. It is a separate module, because only
// these tests require the packages of Kubernetes.
package chart_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

const (
	chart      = "charts/user-service"
	production = "k8s/production/"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // all paths are relative to the root of the project
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build := exec.Command("tools/dev/chart-tools")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tools/dev/chart-tools:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// run returns the output of a tool of .bin, and fails the test if the tool fails.
func run(t *testing.T, input []byte, tool string, args ...string) string {
	t.Helper()
	out, message, err := try(input, tool, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", tool, strings.Join(args, " "), err, out, message)
	}
	return out
}

func try(input []byte, tool string, args ...string) (out, message string, err error) {
	var stdout, stderr bytes.Buffer
	command := exec.Command(filepath.Join(".bin", tool), args...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &stdout, &stderr
	// Ignore the user's configuration and clusters.
	command.Env = append(os.Environ(),
		"KUBECONFIG=/dev/null", "HELM_NAMESPACE=identity", "HELM_CONFIG_HOME="+filepath.Join(os.TempDir(), "no-helm-config"))
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

// apis are the APIs of clusters with all operators that the chart supports.
var apis = []string{"--api-versions", "monitoring.coreos.com/v1", "--api-versions", "gateway.networking.k8s.io/v1"}

func render(t *testing.T, helm string, values ...string) string {
	t.Helper()
	args := append([]string{"template", "accounts", chart}, apis...)
	for _, file := range values {
		args = append(args, "--values", file)
	}
	return run(t, nil, helm, args...)
}

// eachValues runs a test for each tested set of values files.
func eachValues(t *testing.T, test func(t *testing.T, files ...string)) {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values files in %s/ci: %v", chart, err)
	}
	sets := map[string][]string{
		"production":        {production + "values.yaml"},
		"production pooler": {production + "values.yaml", production + "values-pooler.yaml"},
	}
	for _, file := range files {
		sets[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = []string{file}
	}
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, set...)
		})
	}
}

// manifests returns the files below k8s that contain Kubernetes objects.
func manifests(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"k8s/dev/*.yaml", "k8s/workload/*.yaml", production + "*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range found {
			if name := filepath.Base(file); name != "kustomization.yaml" && !strings.HasPrefix(name, "values") {
				files = append(files, file)
			}
		}
	}
	return files
}

// documents splits a stream of YAML and omits empty documents.
func documents(t *testing.T, stream []byte) [][]byte {
	t.Helper()
	var all [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if content := parse[map[string]any](t, document); len(content) > 0 {
			all = append(all, document)
		}
	}
}

func parse[T any](t *testing.T, text []byte) T {
	t.Helper()
	var value T
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return value
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
