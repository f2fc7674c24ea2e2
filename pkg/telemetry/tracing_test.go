package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"user-service/pkg/telemetry"
)

// The tests of this file are not parallel, because tracing is configured by the environment for the whole process.

// setenv sets the OTEL_* environment of a test.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
}

// record starts tracing, records a span, and stops. It returns the span's context and the log.
func record(t *testing.T) (span trace.SpanContext, log string) {
	t.Helper()
	var out bytes.Buffer
	stop, err := telemetry.StartTracing(t.Context(), "1.2.3", telemetry.NewLogger(&out, slog.LevelDebug))
	if err != nil {
		t.Fatal(err)
	}
	_, recorded := otel.Tracer("test").Start(t.Context(), "a span")
	recorded.End()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := stop(ctx); err != nil {
		t.Error(err)
	}
	return recorded.SpanContext(), out.String()
}

// httpReceiver is an OTLP/HTTP receiver that responds with status.
func httpReceiver(t *testing.T, status int) (url string, received <-chan *collector.ExportTraceServiceRequest) {
	t.Helper()
	requests := make(chan *collector.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, proto.Unmarshal(body, &request)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("received %s %s: %v", r.Method, r.URL, err)
		}
		requests <- &request
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// grpcReceiver is an OTLP/gRPC receiver.
type grpcReceiver struct {
	collector.UnimplementedTraceServiceServer
	requests chan *collector.ExportTraceServiceRequest
}

func (r grpcReceiver) Export(
	_ context.Context, request *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	r.requests <- request
	return &collector.ExportTraceServiceResponse{}, nil
}

func newGRPCReceiver(t *testing.T) (url string, received <-chan *collector.ExportTraceServiceRequest) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver := grpcReceiver{requests: make(chan *collector.ExportTraceServiceRequest, 1)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, receiver)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return "http://" + listener.Addr().String(), receiver.requests
}

// exported checks that the span arrived, and returns the attributes of the resource.
func exported(t *testing.T, received <-chan *collector.ExportTraceServiceRequest, want trace.SpanContext) map[string]string {
	t.Helper()
	var request *collector.ExportTraceServiceRequest
	select {
	case request = <-received:
	default:
		t.Fatal("nothing was received before stop returned")
	}
	resource := request.GetResourceSpans()[0]
	span := resource.GetScopeSpans()[0].GetSpans()[0]
	if span.GetName() != "a span" || trace.TraceID(span.GetTraceId()) != want.TraceID() || trace.SpanID(span.GetSpanId()) != want.SpanID() {
		t.Errorf("received %v, want the span %v", span, want)
	}
	attributes := map[string]string{}
	for _, a := range resource.GetResource().GetAttributes() {
		if !strings.HasPrefix(a.GetKey(), "telemetry.") {
			attributes[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return attributes
}

func TestTracesAreExportedByHTTP(t *testing.T) {
	url, received := httpReceiver(t, http.StatusOK)
	setenv(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=planted",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
	})
	span, log := record(t)
	want := map[string]string{"service.name": "user-service", "service.version": "1.2.3", "deployment.environment.name": "test"}
	if diff := cmp.Diff(want, exported(t, received, span)); diff != "" {
		t.Errorf("the resource (-want +got):\n%s", diff)
	}
	if strings.Contains(log, "planted") {
		t.Errorf("the log contains a secret: %s", log)
	}
}

func TestTracesAreExportedByGRPC(t *testing.T) {
	url, received := newGRPCReceiver(t)
	setenv(t, map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_SERVICE_NAME": "accounts", "OTEL_RESOURCE_ATTRIBUTES": "service.version=other",
	})
	span, _ := record(t)
	want := map[string]string{"service.name": "accounts", "service.version": "other"}
	if diff := cmp.Diff(want, exported(t, received, span)); diff != "" {
		t.Errorf("the environment does not override the defaults (-want +got):\n%s", diff)
	}
}

func TestProblemsOfExportAreLogged(t *testing.T) {
	url, _ := httpReceiver(t, http.StatusBadRequest)
	setenv(t, map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
	})
	_, log := record(t)
	for _, want := range []string{
		`"level":"ERROR","msg":"parse duration"`, // about the timeout, which the SDK ignores
		`"level":"WARN","msg":"OpenTelemetry has a problem","error":"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not contain %s: %s", want, log)
		}
	}
}

const malformedHeader = ": has a header that can't be parsed; set it to name=value pairs, separated by commas, " +
	"with percent-encoded values"

// TestNoPartOfAHeaderIsLogged sets headers that the SDK cannot parse. The SDK itself would log such a header.
func TestNoPartOfAHeaderIsLogged(t *testing.T) {
	for _, headers := range []string{
		"planted", "Bearer planted", "authorization=Bearer%20x,planted", "a=%zzplanted", "a=planted%", "plan ted=x",
	} {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelDebug)
			telemetry.LogProblems(log)
			t.Setenv(name, headers)
			if _, err := otlptracehttp.New(t.Context()); err != nil {
				t.Error(err)
			}
			if strings.Contains(out.String(), "planted") || strings.Contains(out.String(), "zzp") ||
				strings.Contains(out.String(), "plan ted") {
				t.Errorf("%s=%s: the log contains a secret: %s", name, headers, out.String())
			}
			if !strings.Contains(out.String(), `"level":"ERROR","msg":"`) {
				t.Errorf("%s=%s: the log does not contain the problem: %s", name, headers, out.String())
			}
			t.Setenv(name, "")
		}
	}
}

func TestTracingIsOffUnlessConfigured(t *testing.T) {
	url, received := httpReceiver(t, http.StatusOK)
	for name, env := range map[string]map[string]string{
		"by default":       {},
		"disabled":         {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SDK_DISABLED": "TRUE"},
		"no exporter":      {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "none"},
		"empty":            {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
		"invalid, but off": {"OTEL_EXPORTER_OTLP_ENDPOINT": "?", "OTEL_EXPORTER_OTLP_PROTOCOL": "?", "OTEL_SDK_DISABLED": "true"},
		"only a service":   {"OTEL_SERVICE_NAME": "accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, env)
			if span, log := record(t); span.IsValid() || log != "" {
				t.Errorf("the span %v was recorded and %q logged, want neither", span, log)
			}
			select {
			case request := <-received:
				t.Errorf("%v was exported, want nothing", request)
			default:
			}
		})
	}
}

// The trace of the caller is in logs and events even if the service records no spans.
func TestTraceContextIsAlwaysPropagated(t *testing.T) {
	setenv(t, nil)
	record(t)
	const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := otel.GetTextMapPropagator().Extract(t.Context(), propagation.MapCarrier{"traceparent": caller, "baggage": "user=jo"})
	ctx, span := otel.Tracer("test").Start(ctx, "a span")
	defer span.End()
	passedOn := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, passedOn)
	if diff := cmp.Diff(propagation.MapCarrier{"traceparent": caller}, passedOn); diff != "" {
		t.Errorf("the propagated context (-want +got):\n%s", diff)
	}
}

func TestBadTraceSettings(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"exporter": {
			map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"},
			"OTEL_TRACES_EXPORTER: is not supported; set it to otlp or none",
		},
		"protocol": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"},
			"OTEL_EXPORTER_OTLP_PROTOCOL: is not supported; set it to grpc or http/protobuf",
		},
		"endpoint": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"},
			"OTEL_EXPORTER_OTLP_ENDPOINT: is not a URL; set it to a URL such as http://localhost:4318, or http://localhost:4317 for grpc",
		},
		"endpoint for gRPC": {
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "10.0.0.1:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is not a URL; set it to a URL such as http://localhost:4318, or http://localhost:4317 " +
				"for grpc",
		},
		"all": {
			map[string]string{
				"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "?",
				"OTEL_EXPORTER_OTLP_ENDPOINT": "?",
			},
			"OTEL_TRACES_EXPORTER: is not supported; set it to otlp or none\n" +
				"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: is not supported; set it to grpc or http/protobuf\n" +
				"OTEL_EXPORTER_OTLP_ENDPOINT: is not a URL; set it to a URL such as http://localhost:4318, or http://localhost:4317 for " +
				"grpc",
		},
		"attributes": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_RESOURCE_ATTRIBUTES": "nonsense"},
			"OTEL_RESOURCE_ATTRIBUTES: can't be parsed; set it to name=value pairs, separated by commas",
		},
		"a header without =": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=x,Bearer planted"},
			"OTEL_EXPORTER_OTLP_HEADERS" + malformedHeader,
		},
		"a header with a bad escape": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=%zzplanted"},
			"OTEL_EXPORTER_OTLP_HEADERS" + malformedHeader,
		},
		"a percent sign at the end": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=planted%"},
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS" + malformedHeader,
		},
		"a header with a bad name": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "plan ted=x"},
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS" + malformedHeader,
		},
		"a comma at the end": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,"},
			"OTEL_EXPORTER_OTLP_HEADERS" + malformedHeader,
		},
		"a line break in a header": {
			map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%0Aplanted"},
			"OTEL_EXPORTER_OTLP_HEADERS" + malformedHeader,
		},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, test.env)
			var all []string
			for _, bad := range telemetry.CheckTracing(t.Context()) {
				all = append(all, bad.Error())
			}
			if got := strings.Join(all, "\n"); got != test.want {
				t.Errorf("the problems are %q, want %q", got, test.want)
			}
			_, err := telemetry.StartTracing(t.Context(), "1.2.3", slog.New(slog.DiscardHandler))
			if err == nil || err.Error() != all[0] {
				t.Errorf("the error is %v, want %q", err, all[0])
			}
		})
	}
}
