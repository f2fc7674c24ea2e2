package config

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"time"
)

// chartVariable is a variable in the schema that the chart reads. The chart checks values at render time and repeats Accepts in
// messages.
type chartVariable struct {
	Type    string `json:"type"`              // boolean, integer, duration, level, networks or text
	Pattern string `json:"pattern,omitempty"` // a regular expression for a text
	Min     string `json:"min,omitempty"`
	Max     string `json:"max,omitempty"`
	Default string `json:"default,omitempty"`
	Example string `json:"example,omitempty"`
	Accepts string `json:"accepts"`
	Secret  bool   `json:"secret,omitempty"`
	File    bool   `json:"file,omitempty"`
}

// ChartSchema returns the schema of the chart's value config: a JSON object of the variables in target, by their names. target is a pointer
// as for Load.
func ChartSchema(target any) string {
	schema := map[string]chartVariable{}
	for _, group := range groupsOf(target) {
		for _, f := range group.fields {
			schema[f.Name] = chartVariable{
				Type: typeName(f.value.Type()), Pattern: patterns[f.Name], Min: f.bounds.min, Max: f.bounds.max,
				Default: f.Default, Example: f.Example, Accepts: f.Accepts, Secret: f.Secret, File: f.File,
			}
		}
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // strings and booleans can be encoded
	}
	return string(text) + "\n"
}

// typeName returns the type of a field in the terms of chartVariable.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[slog.Level]():
		return "level"
	case t == reflect.TypeFor[Networks]():
		return "networks"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.String:
		return "text"
	default:
		return "integer"
	}
}
