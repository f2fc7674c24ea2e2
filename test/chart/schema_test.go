package chart_test

import (
	"testing"

	"k8s.io/client-go/kubernetes/scheme"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// conforms checks objects against the schemas of their APIs. No Go module contains the definitions of RabbitMQ and Flux. So tools/dev/crds
// writes an excerpt of these definitions to test/chart/schemas: the members that k8s/production uses.
func conforms(t *testing.T, stream []byte) {
	t.Helper()
	const name = "/{{ .ResourceKind }}_{{ .Group }}_{{ .ResourceAPIVersion }}.json"
	run(t, stream, "kubeconform", "-strict", "-summary",
		"-schema-location", ".bin/schemas"+name, "-schema-location", "test/chart/schemas"+name, "-")
}

func TestTheChartConformsToTheAPIs(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		conforms(t, []byte(render(t, "helm", files...)))
	})
}

func TestTheManifestsConformToTheAPIs(t *testing.T) {
	t.Parallel()
	for _, file := range manifests(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			conforms(t, read(t, file))
		})
	}
}

// The types of client-go check what the OpenAPI document does not define, such as the form of quantities. They also refuse
// duplicate members.
func decodes(t *testing.T, document []byte) runtime.Object {
	t.Helper()
	codecs := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict)
	object, _, err := codecs.UniversalDeserializer().Decode(document, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		return nil // a kind of an operator
	}
	if err != nil {
		t.Errorf("%v in:\n%s", err, document)
	}
	return object
}

func TestTheObjectsDecodeStrictly(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		for _, document := range documents(t, []byte(render(t, "helm", files...))) {
			decodes(t, document)
		}
	})
	for _, file := range manifests(t) {
		for _, document := range documents(t, read(t, file)) {
			decodes(t, document)
		}
	}
}

// The API server drops some fields with the value of their default, such as minReadySeconds: 0. Each kubectl apply would then change the
// object, and so would each sync of GitOps tools that compare the fields.
func TestTheAPIServerKeepsEachField(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		for _, document := range documents(t, []byte(render(t, "helm", files...))) {
			object := decodes(t, document)
			if object == nil {
				continue
			}
			kept, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
			if err != nil {
				t.Fatal(err)
			}
			manifest := parse[map[string]any](t, document)
			for _, field := range dropped(manifest, kept) {
				t.Errorf("the API server drops %s of the %s", field, manifest["kind"])
			}
		}
	})
}

// kubectl apply stores the object in an annotation. All annotations of an object have at most 256 KiB.
func TestKubectlCanApplyEachObject(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		for _, document := range documents(t, []byte(render(t, "helm", files...))) {
			applied, err := yaml.YAMLToJSON(document)
			if err != nil {
				t.Fatal(err)
			}
			if size := len(applied); size > 250<<10 {
				t.Errorf("%d bytes are too many for kubectl apply: %.200s", size, document)
			}
		}
	})
}

// dropped returns the paths of the fields of an object that are not in the kept object.
func dropped(object, kept any) []string {
	var paths []string
	switch object := object.(type) {
	case map[string]any:
		fields, _ := kept.(map[string]any)
		for name, value := range object {
			field, ok := fields[name]
			if !ok {
				paths = append(paths, name)
				continue
			}
			for _, path := range dropped(value, field) {
				paths = append(paths, name+"."+path)
			}
		}
	case []any:
		items, _ := kept.([]any)
		for i, value := range object {
			if i < len(items) {
				paths = append(paths, dropped(value, items[i])...)
			}
		}
	}
	return paths
}

func TestKindAcceptsItsConfiguration(t *testing.T) {
	t.Parallel()
	var cluster kind.Cluster
	if err := yaml.UnmarshalStrict(read(t, "k8s/kind/cluster.yaml"), &cluster); err != nil {
		t.Fatal(err)
	}
	if cluster.APIVersion != "kind.x-k8s.io/v1alpha4" || len(cluster.Nodes) != 3 {
		t.Errorf("k8s/kind/cluster.yaml is %+v, want kind.x-k8s.io/v1alpha4 with 3 nodes", cluster)
	}
}
