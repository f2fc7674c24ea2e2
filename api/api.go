// Package api holds the written contract of the service: openapi.yaml describes the responses, and asyncapi.yaml the events.
// Tests compare the code with both.
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

// OpenAPI returns the OpenAPI 3.1 description of the REST API, in YAML.
func OpenAPI() []byte { return openAPI }

// AsyncAPI returns the AsyncAPI 3.0 description of the events, in YAML.
func AsyncAPI() []byte { return asyncAPI }

// OpenAPIJSON returns the result of OpenAPI in JSON. The conversion runs once. Errors: the embedded file is not valid YAML, which
// this package's tests exclude.
var OpenAPIJSON = sync.OnceValues(func() ([]byte, error) {
	raw, err := ToJSON(openAPI)
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml to JSON: %w", err)
	}
	return raw, nil
})
