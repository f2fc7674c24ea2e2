package chart_test

import (
	"bytes"
	"fmt"
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

// TestTheDashboardOfDevLeadsToTraces checks each link from a panel's exemplar to a trace: Prometheus, Grafana's data source, Jaeger's
// Service.
func TestTheDashboardOfDevLeadsToTraces(t *testing.T) {
	t.Parallel()
	if !bytes.Contains(read(t, chart+"/dashboards/service.json"), []byte(`"exemplar": true`)) {
		t.Error("no panel shows exemplars")
	}
	if !bytes.Contains(read(t, "k8s/dev/prometheus.yaml"), []byte("exemplar-storage")) {
		t.Error("Prometheus does not store exemplars")
	}
	var config corev1.ConfigMap
	for _, document := range documents(t, read(t, "k8s/dev/grafana.yaml")) {
		if c, ok := decodes(t, document).(*corev1.ConfigMap); ok {
			config = *c
		}
	}
	sources := parse[struct {
		Datasources []struct {
			UID, Type, URL string
			JSONData       struct {
				ExemplarTraceIDDestinations []struct{ Name, DatasourceUID string }
			}
		}
	}](t, []byte(config.Data["datasources.yaml"])).Datasources
	destinations := sources[0].JSONData.ExemplarTraceIDDestinations
	if len(destinations) != 1 || destinations[0].Name != "trace_id" || destinations[0].DatasourceUID != sources[1].UID ||
		sources[1].Type != "jaeger" {
		t.Fatalf("an exemplar leads to %v of %v", destinations, sources)
	}
	for _, url := range []string{sources[1].URL, "http://jaeger:4318"} { // the second one is TRACES of tilt/dependencies.star
		if !slices.Contains(addresses(t, "k8s/dev/jaeger.yaml"), url) {
			t.Errorf("nothing answers at %s", url)
		}
	}
	if !bytes.Contains(read(t, "tilt/dependencies.star"), []byte(`TRACES = "http://jaeger:4318"`)) {
		t.Error("the service sends its traces elsewhere")
	}
}

// addresses returns the URLs of the Services in a file.
func addresses(t *testing.T, file string) (urls []string) {
	t.Helper()
	for _, document := range documents(t, read(t, file)) {
		if service, ok := decodes(t, document).(*corev1.Service); ok {
			for _, port := range service.Spec.Ports {
				urls = append(urls, fmt.Sprintf("http://%s:%d", service.Name, port.Port))
			}
		}
	}
	return urls
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
