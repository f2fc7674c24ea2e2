package telemetry

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/sdk/resource"
)

// The protocols of OTLP that are supported.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// traceSettings is what has to be known before the SDK, which reads the rest by itself.
type traceSettings struct {
	enabled  bool
	protocol string
}

// BadVariable is an error that says what is wrong with a variable of the environment.
type BadVariable struct {
	Name string // of the variable
	What string // what is wrong
	Do   string // what to do about it
}

// Error implements error.
func (b *BadVariable) Error() string { return b.Name + ": " + b.What + "; " + b.Do }

// CheckTracing returns all that is wrong with the environment for StartTracing.
func CheckTracing(ctx context.Context) []*BadVariable {
	_, bad := readTraceSettings(ctx, os.Getenv)
	return bad
}

// readTraceSettings reads the environment. The SDK would log a bad value and go on without it;
// here it is an error, with all bad values at once.
func readTraceSettings(ctx context.Context, getenv func(string) string) (traceSettings, []*BadVariable) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpointName, endpoint := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" || exporter == "" && endpoint == "" {
		return traceSettings{}, nil
	}
	protocolName, protocol := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	protocol = cmp.Or(protocol, protocolHTTP)
	var bad []*BadVariable
	unless := func(ok bool, name, what, do string) {
		if !ok {
			bad = append(bad, &BadVariable{name, what, do})
		}
	}
	unless(exporter == "" || exporter == "otlp", "OTEL_TRACES_EXPORTER", "is not supported", "set it to otlp or none")
	unless(protocol == protocolGRPC || protocol == protocolHTTP, protocolName, "is not supported", "set it to "+protocolGRPC+" or "+protocolHTTP)
	unless(endpoint == "" || isEndpoint(endpoint, protocol), endpointName, "is not a URL",
		"set it to one such as http://localhost:4318, or http://localhost:4317 for grpc")
	_, err := resource.New(ctx, resource.WithFromEnv())
	unless(err == nil, "OTEL_RESOURCE_ATTRIBUTES", "can't be understood", "set it to name=value pairs with commas between")
	return traceSettings{enabled: true, protocol: protocol}, bad
}

// firstSet returns the first variable that is set, and its value.
func firstSet(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

// isEndpoint reports whether the SDK can use endpoint. gRPC has address forms of its own,
// such as dns:///collector:4317, which are left to it.
func isEndpoint(endpoint, protocol string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || protocol == protocolGRPC {
		return err == nil
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
