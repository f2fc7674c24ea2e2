package telemetry

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/sdk/resource"
	"golang.org/x/net/http/httpguts"
)

// The protocols of OTLP that are supported.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// traceSettings are the settings that the SDK does not read itself.
type traceSettings struct {
	enabled  bool
	protocol string
}

// InvalidVariable describes an invalid environment variable.
type InvalidVariable struct {
	Name string // the name of the variable
	What string // what is wrong
	Do   string // what to do about it
}

// Error implements error.
func (v *InvalidVariable) Error() string { return v.Name + ": " + v.What + "; " + v.Do }

// CheckTracing returns all environment variables that StartTracing would reject.
func CheckTracing(ctx context.Context) []*InvalidVariable {
	_, problems := readTraceSettings(ctx, os.Getenv)
	return problems
}

// readTraceSettings reads the environment, and returns all problems. The SDK would only log an invalid value and ignore it.
func readTraceSettings(ctx context.Context, getenv func(string) string) (traceSettings, []*InvalidVariable) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpointName, endpoint := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" || exporter == "" && endpoint == "" {
		return traceSettings{}, nil
	}
	protocolName, protocol := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	protocol = cmp.Or(protocol, protocolHTTP)
	var problems []*InvalidVariable
	require := func(ok bool, name, what, do string) {
		if !ok {
			problems = append(problems, &InvalidVariable{name, what, do})
		}
	}
	require(exporter == "" || exporter == "otlp", "OTEL_TRACES_EXPORTER", "is not supported", "set it to otlp or none")
	require(protocol == protocolGRPC || protocol == protocolHTTP, protocolName, "is not supported",
		"set it to "+protocolGRPC+" or "+protocolHTTP)
	require(endpoint == "" || isEndpoint(endpoint, protocol), endpointName, "is not a URL",
		"set it to a URL such as http://localhost:4318, or http://localhost:4317 for grpc")
	_, err := resource.New(ctx, resource.WithFromEnv())
	require(err == nil, "OTEL_RESOURCE_ATTRIBUTES", "can't be parsed", "set it to name=value pairs, separated by commas")
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		require(areHeaders(getenv(name)), name, "has a header that can't be parsed",
			"set it to name=value pairs, separated by commas, with percent-encoded values")
	}
	return traceSettings{enabled: true, protocol: protocol}, problems
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

// isEndpoint reports whether the SDK can use the endpoint. It does not check the address forms of gRPC, such as dns:///collector:4317.
func isEndpoint(endpoint, protocol string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || protocol == protocolGRPC {
		return err == nil
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// areHeaders reports whether the SDK can use all headers of the list.
func areHeaders(list string) bool {
	if strings.TrimSpace(list) == "" {
		return true
	}
	for header := range strings.SplitSeq(list, ",") {
		name, value, found := strings.Cut(header, "=")
		value, err := url.PathUnescape(value)
		if !found || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) ||
			!httpguts.ValidHeaderFieldValue(strings.TrimSpace(value)) {
			return false
		}
	}
	return true
}
