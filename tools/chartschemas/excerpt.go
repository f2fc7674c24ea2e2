package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// excerpt reduces the schemas in a folder to the members that manifests use, and deletes the schemas of unused kinds.
func excerpt(manifests, dir string) error {
	used, err := readUsed(manifests)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		objects := used[filepath.Base(file)]
		if len(objects) == 0 {
			if err := os.Remove(file); err != nil {
				return err
			}
			continue
		}
		if err := reduceFile(file, objects); err != nil {
			return err
		}
	}
	return nil
}

// readUsed returns the objects of manifests by the names of their schemas.
func readUsed(pattern string) (map[string][]any, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	used := map[string][]any{}
	for _, file := range files {
		reader, err := os.Open(file) //nolint:gosec // a file that the user names
		if err != nil {
			return nil, err
		}
		defer reader.Close() //nolint:errcheck // only read
		for decoder := yaml.NewDecoder(reader); ; {
			var o object
			if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			apiVersion, _ := o["apiVersion"].(string)
			kind, _ := o["kind"].(string)
			name := fileName(kind, filepath.Dir(apiVersion), filepath.Base(apiVersion))
			used[name] = append(used[name], o)
		}
	}
	return used, nil
}

func reduceFile(file string, objects []any) error {
	text, err := os.ReadFile(file) //nolint:gosec // a file of the folder that the user names
	if err != nil {
		return err
	}
	var schema object
	if err := json.Unmarshal(text, &schema); err != nil {
		return err
	}
	reduce(schema, objects)
	text, err = json.Marshal(schema, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}

// reduce deletes the properties of a schema that none of the values has. Required properties remain.
func reduce(schema object, values []any) {
	properties, _ := schema["properties"].(object)
	required := map[any]bool{}
	if names, ok := schema["required"].([]any); ok {
		for _, name := range names {
			required[name] = true
		}
	}
	for name, property := range properties {
		var members []any
		for _, value := range values {
			if o, ok := value.(object); ok && o[name] != nil {
				members = append(members, o[name])
			}
		}
		if len(members) == 0 && !required[name] {
			delete(properties, name)
			continue
		}
		reduce(property.(object), members)
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if sub, ok := schema[name].(object); ok {
			reduce(sub, elements(values))
		}
	}
}

// elements returns the elements of lists and the members of maps.
func elements(values []any) (all []any) {
	for _, value := range values {
		switch value := value.(type) {
		case []any:
			all = append(all, value...)
		case object:
			for _, member := range value {
				all = append(all, member)
			}
		}
	}
	return all
}
