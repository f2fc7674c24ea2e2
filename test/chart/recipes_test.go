package chart_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	networkingv1 "k8s.io/api/networking/v1"
)

// recipe is a section below Recipes of the chart's README, or a page with manifests.
type recipe struct {
	name   string
	blocks []string
}

var (
	section = regexp.MustCompile(`(?m)^### (.+)$`)
	block   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

func recipes(t *testing.T) (all []recipe) {
	t.Helper()
	_, text, found := strings.Cut(string(read(t, chart+"/README.md")), "\n## Recipes\n")
	if !found {
		t.Fatal("the chart's README has no recipes")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	starts := section.FindAllStringSubmatchIndex(text, -1)
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		r := recipe{name: text[start[2]:start[3]]}
		for _, m := range block.FindAllStringSubmatch(text[start[1]:end], -1) {
			r.blocks = append(r.blocks, m[1])
		}
		all = append(all, r)
	}
	return all
}

// kindOf returns the kind of a YAML block: values of the chart, values or Chart.yaml of a parent chart, or manifests.
func kindOf(t *testing.T, text string) string {
	t.Helper()
	content := parse[map[string]any](t, []byte(strings.Split(text, "\n---\n")[0]))
	switch {
	case content["dependencies"] != nil:
		return "Chart.yaml"
	case content["apiVersion"] != nil:
		return "manifests"
	case content["user-service"] != nil:
		return "parent values"
	case content["meshConfig"] != nil:
		return "configuration of Istio" // which is not an object of Kubernetes
	}
	return "values"
}

func TestEachRecipeWorks(t *testing.T) {
	t.Parallel()
	want := []string{
		"TLS to a managed PostgreSQL", "CloudNativePG", "RabbitMQ operator", "External Secrets", "Vault agent",
		"Cloud SQL Auth Proxy", "Istio",
		"Linkerd", "KEDA", "OpenShift", "Without internet access", "Umbrella chart", "Argo CD", "Flux", "ARM",
	}
	all := recipes(t)
	for _, name := range want {
		if !slices.ContainsFunc(all, func(r recipe) bool { return r.name == name && len(r.blocks) > 0 }) {
			t.Errorf("the chart's README has no recipe %s", name)
		}
	}
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, text := range r.blocks {
				check(t, text)
			}
		})
	}
}

// check renders values, and checks the rendered objects. It also checks manifests.
func check(t *testing.T, text string) {
	t.Helper()
	switch kindOf(t, text) {
	case "manifests":
		conforms(t, []byte(text))
		for _, document := range documents(t, []byte(text)) {
			decodes(t, document)
			if values := valuesOf(t, document); values != nil {
				renders(t, values)
			}
		}
	case "values":
		renders(t, parse[map[string]any](t, []byte(text)))
	case "parent values":
		rendersAsDependency(t, text)
	}
}

// valuesOf returns the values of the chart in an object of Argo CD or Flux.
func valuesOf(t *testing.T, document []byte) map[string]any {
	t.Helper()
	spec := parse[struct {
		Spec struct {
			Values map[string]any
			Source struct {
				Helm struct{ ValuesObject map[string]any }
			}
		}
	}](t, document).Spec
	if spec.Values != nil {
		return spec.Values
	}
	return spec.Source.Helm.ValuesObject
}

// renders renders values with both versions of Helm, and checks the objects. It adds a Secret for each part without one in the values.
func renders(t *testing.T, values map[string]any) string {
	t.Helper()
	values = maps.Clone(values)
	if values["secretFiles"] == nil {
		for key, name := range map[string]string{
			"database": "accounts-app", "rabbitmq": "events-default-user",
			"jwt": "user-service-keys",
		} {
			if values[key] == nil {
				values[key] = map[string]any{"existingSecret": name}
			}
		}
	}
	if policy, ok := values["networkPolicy"].(map[string]any); ok && policy["enabled"] == nil {
		policy["enabled"] = true
		anywhere := []any{map[string]any{"ipBlock": map[string]any{"cidr": "0.0.0.0/0"}}}
		policy["databaseTo"], policy["rabbitmqTo"] = anywhere, anywhere
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stream := render(t, "helm", file)
	if three := render(t, "helm3", file); noBlankLines(three) != noBlankLines(stream) {
		t.Errorf("Helm 3 and Helm 4 differ for\n%s", text)
	}
	conforms(t, []byte(stream))
	for _, document := range documents(t, []byte(stream)) {
		decodes(t, document)
	}
	return stream
}

// rendersAsDependency renders a parent chart with these values, and with its condition turned off.
func rendersAsDependency(t *testing.T, values string) {
	t.Helper()
	parent := t.TempDir()
	for _, r := range recipes(t) {
		for _, text := range r.blocks {
			if kindOf(t, text) == "Chart.yaml" {
				if err := os.WriteFile(filepath.Join(parent, "Chart.yaml"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := os.CopyFS(filepath.Join(parent, "charts/user-service"), os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "values.yaml"), []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	stream := run(t, nil, "helm", "template", "platform", parent)
	conforms(t, []byte(stream))
	if !strings.Contains(stream, "image: \"registry.example.com/user-service/user-service:") &&
		!strings.Contains(stream, "image: registry.example.com/user-service/user-service:") {
		t.Errorf("the image does not come from the registry of the parent chart:\n%s", stream)
	}
	if off := run(t, nil, "helm", "template", "platform", parent, "--set", "user-service.enabled=false"); strings.TrimSpace(off) != "" {
		t.Errorf("with user-service.enabled=false, the parent chart renders\n%s", off)
	}
}

// recipeOf returns the values of a recipe.
func recipeOf(t *testing.T, name string) map[string]any {
	t.Helper()
	for _, r := range recipes(t) {
		for _, text := range r.blocks {
			if r.name == name && kindOf(t, text) == "values" {
				return parse[map[string]any](t, []byte(text))
			}
		}
	}
	t.Fatalf("the chart's README has no values for %s", name)
	return nil
}

// TestTheRecipesHaveTheirEffect checks that the objects have the fields that each platform reads.
func TestTheRecipesHaveTheirEffect(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"TLS to a managed PostgreSQL": {"name: rds-ca", "PGSSLMODE", "value: verify-full", "cidr: 10.0.32.0/20"},
		"CloudNativePG":               {"name: accounts-ca", "value: verify-full"},
		"RabbitMQ operator":           {"name: events-tls", "RABBITMQ_CA_FILE"},
		"Vault agent":                 {"value: /vault/secrets/database-url", "agent-pre-populate-only"},
		"Cloud SQL Auth Proxy":        {"restartPolicy: Always", "iam.gke.io/gcp-service-account"},
		"Istio":                       {"excludeInboundPorts", `sidecar.istio.io/inject: "false"`},
		"Linkerd":                     {"linkerd.io/inject: enabled", "linkerd.io/inject: disabled"},
		"KEDA":                        {"kind: ScaledObject", "name: accounts-user-service"},
		"OpenShift":                   {"port: 5353"},
		"Without internet access":     {"registry.example.com/user-service/user-service:", "name: registry"},
		"ARM":                         {"kubernetes.io/arch: arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := renders(t, recipeOf(t, name))
			plain := strings.NewReplacer("{", "", "}", "").Replace(stream)
			for _, text := range want {
				if !strings.Contains(plain, text) {
					t.Errorf("the objects do not have %s:\n%s", text, stream)
				}
			}
		})
	}
}

// TestTheRecipesLeaveFieldsOut checks that only KEDA sets the number of pods, and that no object sets the user on OpenShift.
func TestTheRecipesLeaveFieldsOut(t *testing.T) {
	t.Parallel()
	for name, unwanted := range map[string]string{"KEDA": `(?m)^  replicas:`, "OpenShift": `runAsUser|runAsGroup|fsGroup:`} {
		if stream := renders(t, recipeOf(t, name)); regexp.MustCompile(unwanted).MatchString(stream) {
			t.Errorf("%s: the objects have %s:\n%s", name, unwanted, stream)
		}
	}
}

// TestTheRecipeOfTheBrokerOpensThePortOfTLS checks the NetworkPolicy of the recipe.
func TestTheRecipeOfTheBrokerOpensThePortOfTLS(t *testing.T) {
	t.Parallel()
	values := recipeOf(t, "CloudNativePG")
	values["rabbitmq"] = recipeOf(t, "RabbitMQ operator")["rabbitmq"]
	for _, object := range objects(t, renders(t, values)) {
		policy, ok := object.(*networkingv1.NetworkPolicy)
		if !ok || policy.Name != "accounts-user-service" {
			continue
		}
		for _, rule := range policy.Spec.Egress {
			for _, port := range rule.Ports {
				if port.Port.IntVal == 5671 {
					return
				}
			}
		}
		t.Errorf("%s does not allow the port 5671: %+v", policy.Name, policy.Spec.Egress)
	}
}
