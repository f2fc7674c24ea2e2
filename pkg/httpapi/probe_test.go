package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
)

// TestProbesAreNeitherLoggedNorTraced sends probes and one request. It is not parallel, because OpenTelemetry is global.
func TestProbesAreNeitherLoggedNorTraced(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	s := start(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		s.call("GET", path, nil).want(t, 200)
	}
	s.call("GET", "/roles", nil).want(t, 401)
	var lines, names []string
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, `"msg":"request"`) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `"route":"/roles"`) {
		t.Errorf("the log has the requests %q, want only that of /roles", lines)
	}
	for _, span := range spans.GetSpans() {
		if strings.HasPrefix(span.Name, "GET ") {
			names = append(names, span.Name)
		}
	}
	if !slices.Equal(names, []string{"GET /roles"}) {
		t.Errorf("the requests %v have spans, want only GET /roles", names)
	}
}
