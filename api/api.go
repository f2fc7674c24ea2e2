// Package api holds the written contract of the service: openapi.yaml describes the responses, and asyncapi.yaml the events.
// Tests compare the code with both.
package api

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed asyncapi.yaml
var asyncAPI []byte

// OpenAPI returns the OpenAPI 3.1 description of the REST API, in YAML.
func OpenAPI() []byte { return openAPI }

// AsyncAPI returns the AsyncAPI 3.0 description of the events, in YAML.
func AsyncAPI() []byte { return asyncAPI }

// Limits are the configured limits that OpenAPIJSON states.
type Limits struct {
	PasswordMinLength int // in characters
}

// OpenAPIJSON returns the result of OpenAPI in JSON, with the given limits. Errors: the embedded file is not valid YAML or has no
// place for a limit, which this package's tests exclude.
func OpenAPIJSON(limits Limits) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	minLength := find(&doc, "components", "schemas", "Password", "minLength")
	if minLength == nil {
		return nil, errors.New("openapi.yaml has no minLength of a password")
	}
	minLength.Value = strconv.Itoa(limits.PasswordMinLength)
	raw, err := toJSON(&doc)
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml to JSON: %w", err)
	}
	return raw, nil
}
