package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// StartTracing configures OpenTelemetry for the whole process by its standard variables
// (OTEL_*, https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// It always propagates W3C trace context. It records and exports spans only if an OTLP endpoint is set or OTEL_TRACES_EXPORTER is otlp.
//
// The caller must call stop, which exports the remaining spans until its context ends. Errors of the export are logged.
// CheckTracing returns the invalid variables in advance.
func StartTracing(ctx context.Context, version string, log *slog.Logger) (stop func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	settings, problems := readTraceSettings(ctx, os.Getenv)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	if !settings.enabled {
		return func(context.Context) error { return nil }, nil
	}
	logProblems(log)
	service, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("user-service"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that it overrides the others
	)
	if err != nil {
		return nil, fmt.Errorf("describe the service to OpenTelemetry: %w", err)
	}
	exporter, err := newExporter(ctx, settings.protocol)
	if err != nil {
		return nil, fmt.Errorf("create the exporter of traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(service))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

func newExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	if protocol == protocolGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// logProblems makes OpenTelemetry use the service's log. By default it writes plain text to standard error.
func logProblems(log *slog.Logger) {
	otel.SetLogger(logr.New(messages{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("OpenTelemetry has a problem", "error", err)
	}))
}

// messages logs the messages of OpenTelemetry without their errors and values, because errors and values can contain a header or a URL.
type messages struct{ log *slog.Logger }

// Init implements logr.LogSink.
func (messages) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink. It converts levels like logr.FromSlogHandler.
func (m messages) Enabled(level int) bool {
	return m.log.Enabled(context.Background(), slog.Level(-level))
}

// Info implements logr.LogSink.
func (m messages) Info(level int, message string, _ ...any) {
	m.log.Log(context.Background(), slog.Level(-level), message)
}

// Error implements logr.LogSink.
func (m messages) Error(_ error, message string, _ ...any) { m.log.Error(message) }

// WithValues implements logr.LogSink.
func (m messages) WithValues(...any) logr.LogSink { return m }

// WithName implements logr.LogSink.
func (m messages) WithName(string) logr.LogSink { return m }
