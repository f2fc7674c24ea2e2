package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// writeBuiltIn writes a schema for each kind in an OpenAPI 2 document.
func writeBuiltIn(file, dir string) error {
	text, err := os.ReadFile(file) //nolint:gosec // a file of a Go module that is named above
	if err != nil {
		return err
	}
	var document struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	all := document.Definitions
	for name, definition := range all {
		tighten(definition)
		switch {
		case strings.HasSuffix(name, ".intstr.IntOrString"):
			all[name] = object{"type": []any{"string", "integer"}}
		case strings.HasSuffix(name, ".resource.Quantity"):
			all[name] = object{"type": []any{"string", "number"}}
		}
	}
	for name, definition := range all {
		id, ok := identity(definition)
		if !ok {
			continue
		}
		used := object{}
		collect(definition, all, used)
		root := object{"$ref": reference + name, "definitions": used}
		used[name] = definition
		pin(definition, id.apiVersion(), id.kind)
		if err := write(dir, id.kind, id.group, id.version, root); err != nil {
			return err
		}
	}
	return nil
}

const reference = "#/definitions/"

// collect adds all direct and indirect references of a definition to used.
func collect(node any, all map[string]object, used object) {
	switch node := node.(type) {
	case []any:
		for _, sub := range node {
			collect(sub, all, used)
		}
	case object:
		for _, sub := range node {
			collect(sub, all, used)
		}
		target, _ := node["$ref"].(string)
		name := strings.TrimPrefix(target, reference)
		if target == "" || used[name] != nil {
			return
		}
		used[name] = all[name]
		collect(all[name], all, used)
	}
}

type identifier struct{ kind, group, version string }

func (i identifier) apiVersion() string {
	return strings.TrimPrefix(i.group+"/"+i.version, "/")
}

// identity returns the kind of a definition. It returns false for a definition that belongs to several groups, such as DeleteOptions,
// because such definitions are parts of requests and not objects.
func identity(definition object) (identifier, bool) {
	list, _ := definition["x-kubernetes-group-version-kind"].([]any)
	if len(list) != 1 {
		return identifier{}, false
	}
	names := list[0].(object)
	return identifier{names["kind"].(string), names["group"].(string), names["version"].(string)}, true
}

// writeCustom writes a schema for each version of each CustomResourceDefinition in a file.
func writeCustom(file, dir string) error {
	reader, err := os.Open(file) //nolint:gosec // a file of a Go module that is named above, or of the folder that the user names
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // only read
	for decoder := yaml.NewDecoder(reader); ; {
		var d definition
		err := decoder.Decode(&d)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.write(dir); err != nil {
			return err
		}
	}
}

// definition is the part of a CustomResourceDefinition that its schemas need.
type definition struct {
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct {
				OpenAPI object `yaml:"openAPIV3Schema"`
			}
		}
	}
}

func (d definition) write(dir string) error {
	for _, version := range d.Spec.Versions {
		id := identifier{d.Spec.Names.Kind, d.Spec.Group, version.Name}
		schema := version.Schema.OpenAPI
		tighten(schema)
		if properties, ok := schema["properties"].(object); ok {
			properties["metadata"] = object{"type": "object"}
			pin(schema, id.apiVersion(), id.kind)
		}
		if err := write(dir, id.kind, id.group, id.version, schema); err != nil {
			return err
		}
	}
	return nil
}

// pin restricts apiVersion and kind to the values of the object.
func pin(schema object, apiVersion, kind string) {
	properties, ok := schema["properties"].(object)
	if !ok {
		return
	}
	properties["apiVersion"] = object{"const": apiVersion}
	properties["kind"] = object{"const": kind}
	required, _ := schema["required"].([]any)
	for _, name := range []any{"apiVersion", "kind"} {
		if !slices.Contains(required, name) {
			required = append(required, name)
		}
	}
	schema["required"] = required
}

// tighten refuses unlisted members, and converts extensions of OpenAPI to JSON Schema.
func tighten(schema object) {
	delete(schema, "description")
	delete(schema, "format") // names such as int32, which JSON Schema does not define
	delete(schema, "example")
	if schema["x-kubernetes-int-or-string"] == true {
		delete(schema, "anyOf")
		schema["type"] = []any{"string", "number"}
	}
	if kind, ok := schema["type"].(string); ok && schema["nullable"] == true {
		schema["type"] = []any{kind, "null"}
	}
	properties, _ := schema["properties"].(object)
	for _, property := range properties {
		tighten(property.(object))
	}
	_, said := schema["additionalProperties"]
	if properties != nil && !said && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if sub, ok := schema[name].(object); ok {
			tighten(sub)
		}
	}
}
