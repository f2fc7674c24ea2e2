package telemetry

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
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

// readTraceSettings reads the environment. The SDK would log a bad value and go on without it;
// here it is an error, with all bad values at once.
func readTraceSettings(getenv func(string) string) (traceSettings, error) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpointName, endpoint := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" || exporter == "" && endpoint == "" {
		return traceSettings{}, nil
	}
	protocolName, protocol := firstSet(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	protocol = cmp.Or(protocol, protocolHTTP)
	var errs []error
	if exporter != "" && exporter != "otlp" {
		errs = append(errs, errors.New("OTEL_TRACES_EXPORTER: is not supported; set it to otlp or none"))
	}
	if protocol != protocolGRPC && protocol != protocolHTTP {
		errs = append(errs, fmt.Errorf("%s: is not supported; set it to %s or %s", protocolName, protocolGRPC, protocolHTTP))
	}
	if endpoint != "" && !isEndpoint(endpoint, protocol) {
		errs = append(errs, fmt.Errorf("%s: is not a URL; set it to one such as http://localhost:4318, or http://localhost:4317 for grpc", endpointName))
	}
	return traceSettings{enabled: true, protocol: protocol}, errors.Join(errs...)
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
