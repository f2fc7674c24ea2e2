package config

import (
	"cmp"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Variable is a variable of the environment, as the tags of its field and descriptions define it.
type Variable struct {
	Name        string
	Group       string // The name of its struct.
	Description string
	Accepts     string // The valid values, such as "a whole number from 8 to 128".
	Default     string // Empty: none.
	Example     string // A value for local development.
	Required    bool
	RequiredBy  string // The only command that requires the variable. Empty: all commands require it, or none.
	Secret      bool   // The value is hidden, and may come from a file.
	File        bool   // The value may come from a file.

	empty string // The tag empty.
}

// Describe returns the variables of target, which is a pointer as for Load.
func Describe(target any) []Variable {
	var all []Variable
	for _, group := range groupsOf(target) {
		for _, f := range group.fields {
			all = append(all, f.Variable)
		}
	}
	return all
}

// FileName returns the name of the variable with the path of a file. Only a variable with File has one.
func (v Variable) FileName() string { return v.Name + "_FILE" }

// advice returns what to do about a missing or invalid variable.
func (v Variable) advice() string {
	advice := "set it to " + v.Accepts
	if !v.Secret {
		advice += ", such as " + v.Example
	}
	if v.File {
		advice += "; or set " + v.FileName() + " to the path of a file with the value"
	}
	return advice
}

// group is a struct of variables, such as Database.
type group struct {
	fields []field
	value  reflect.Value
}

// settings returns a pointer to the struct.
func (g group) settings() any { return g.value.Addr().Interface() }

// field is the struct field of a variable.
type field struct {
	Variable

	bounds bounds
	value  reflect.Value
}

// groupsOf returns the groups in the struct that target points to, at any depth. The struct may be a group itself.
func groupsOf(target any) []group { return groupsIn(reflect.ValueOf(target).Elem(), "") }

// groupsIn returns the groups in a struct for a command. The command may be empty.
func groupsIn(all reflect.Value, command string) []group {
	self := group{value: all}
	var nested []group
	for in, value := range all.Fields() {
		switch _, isVariable := in.Tag.Lookup("env"); {
		case isVariable:
			self.fields = append(self.fields, field{variableOf(all.Type().Name(), in, command), boundsOf(in), value})
		case value.Kind() == reflect.Struct:
			nested = append(nested, groupsIn(value, in.Tag.Get("command"))...)
		}
	}
	if len(self.fields) == 0 {
		return nested
	}
	return append([]group{self}, nested...)
}

// variableOf returns the variable that the tags of a field define for a command.
func variableOf(groupName string, in reflect.StructField, command string) Variable {
	name, option, _ := strings.Cut(in.Tag.Get("env"), ",")
	option = strings.TrimSpace(option)
	defaultValue := ""
	if value, ok := strings.CutPrefix(option, "default="); ok {
		defaultValue = value
	}
	requiredBy, _ := strings.CutPrefix(option, "required by ")
	if requiredBy == option {
		requiredBy = ""
	}
	text := descriptions[name]
	secret := in.Type == reflect.TypeFor[Secret]()
	return Variable{
		Name:        name,
		Group:       groupName,
		Description: text.about,
		Accepts:     cmp.Or(text.accepts, accepts(in)),
		Default:     defaultValue,
		Example:     cmp.Or(text.example, defaultValue),
		Required:    option == "required" || requiredBy != "" && requiredBy == command,
		RequiredBy:  requiredBy,
		Secret:      secret,
		File:        secret || in.Tag.Get("file") == "also",
		empty:       in.Tag.Get("empty"),
	}
}

// accepts describes the valid values of a field according to its type and its bounds.
func accepts(in reflect.StructField) string {
	switch in.Type {
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	case reflect.TypeFor[time.Duration]():
		return "a duration" + boundsOf(in).String()
	default:
		return "a whole number" + boundsOf(in).String()
	}
}
