package chart_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// In the dev cluster, Grafana has no sidecar that finds ConfigMaps by their label. So its pod must mount each dashboard of the chart.
func TestGrafanaInDevShowsTheDashboardsOfTheChart(t *testing.T) {
	t.Parallel()
	objects := run(t, nil, "helm", "template", "user-service", chart, "--values", base,
		"--set", "dashboards.enabled=true", "--show-only", "templates/dashboards.yaml")
	var made, shown []string
	for _, document := range documents(t, []byte(objects)) {
		made = append(made, decodes(t, document).(*corev1.ConfigMap).Name)
	}
	for _, document := range documents(t, read(t, "k8s/dev/grafana.yaml")) {
		if _, spec := pod(decodes(t, document)); spec != nil {
			shown = configMaps(spec, "dashboards")
		}
	}
	slices.Sort(made)
	slices.Sort(shown)
	if len(made) == 0 || !slices.Equal(made, shown) {
		t.Errorf("the chart renders %v, but Grafana mounts %v", made, shown)
	}
}

// configMaps returns the names of the ConfigMaps in a projected volume.
func configMaps(spec *corev1.PodSpec, volume string) []string {
	var names []string
	for _, v := range spec.Volumes {
		if v.Name != volume || v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			names = append(names, source.ConfigMap.Name)
		}
	}
	return names
}
