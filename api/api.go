// Package api holds the written contract of the service: openapi.yaml for what it answers,
// asyncapi.yaml for what it announces. Tests hold the code to both.
package api

import (
	_ "embed"
	"fmt"
	"sync"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed asyncapi.yaml
var asyncAPI []byte

// OpenAPI returns the OpenAPI 3.1 description of the REST interface, in YAML.
func OpenAPI() []byte { return openAPI }

// AsyncAPI returns the AsyncAPI 3.0 description of the events, in YAML.
func AsyncAPI() []byte { return asyncAPI }

// OpenAPIJSON returns what OpenAPI returns, in JSON. It is converted once. An error means
// that the embedded file is no YAML, which this package's tests rule out.
var OpenAPIJSON = sync.OnceValues(func() ([]byte, error) {
	raw, err := toJSON(openAPI)
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml to JSON: %w", err)
	}
	return raw, nil
})
