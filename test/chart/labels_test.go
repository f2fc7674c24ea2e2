package chart_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// labeled are the objects with the labels and annotations of a section of the values. The name of the Job ends in a hash.
var labeled = map[string][]string{
	"service":             {"Service accounts-user-service"},
	"serviceAccount":      {"ServiceAccount accounts-user-service", "ServiceAccount accounts-user-service-migrate"},
	"migration":           {"Job accounts-user-service-migrate-"},
	"mailer":              {"Deployment accounts-user-service-mailer"},
	"autoscaling":         {"HorizontalPodAutoscaler accounts-user-service"},
	"podDisruptionBudget": {"PodDisruptionBudget accounts-user-service", "PodDisruptionBudget accounts-user-service-mailer"},
	"networkPolicy":       {"NetworkPolicy accounts-user-service", "NetworkPolicy accounts-user-service-migrate"},
	"ingress":             {"Ingress accounts-user-service"},
	"httpRoute":           {"HTTPRoute accounts-user-service"},
	"serviceMonitor":      {"ServiceMonitor accounts-user-service", "ServiceMonitor accounts-user-service-mailer"},
	"prometheusRule":      {"PrometheusRule accounts-user-service"},
	"dashboards":          {"ConfigMap accounts-user-service-dashboard-service"},
}

func TestObjectsHaveTheLabelsAndAnnotationsOfTheirSection(t *testing.T) {
	t.Parallel()
	set := []string{"commonLabels.common=yes,commonAnnotations.common=yes"}
	for section := range labeled {
		set = append(set, fmt.Sprintf("%[1]s.labels.section=%[1]s,%[1]s.annotations.section=%[1]s", section))
	}
	stream := run(t, nil, "helm", "template", "accounts", chart, "--values", chart+"/ci/everything-values.yaml",
		"--set", strings.Join(set, ","))
	sections := map[string][]string{}
	for _, document := range documents(t, []byte(stream)) {
		object := parse[struct {
			Kind     string
			Metadata struct {
				Name                string
				Labels, Annotations map[string]string
			}
		}](t, document)
		name, meta := object.Kind+" "+object.Metadata.Name, object.Metadata
		if meta.Labels["common"] != "yes" || meta.Annotations["common"] != "yes" {
			t.Errorf("%s does not have the common labels and annotations: %+v", name, meta)
		}
		if meta.Labels["section"] != meta.Annotations["section"] {
			t.Errorf("%s has labels of another section than its annotations: %+v", name, meta)
		}
		sections[meta.Labels["section"]] = append(sections[meta.Labels["section"]], name)
	}
	for section, names := range labeled {
		for _, want := range names {
			matches := func(name string) bool {
				return name == want || strings.HasSuffix(want, "-") && strings.HasPrefix(name, want)
			}
			if !slices.ContainsFunc(sections[section], matches) {
				t.Errorf("%s does not have the labels and annotations of %s, but %v", want, section, sections[section])
			}
		}
	}
}
