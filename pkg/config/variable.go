package config

import (
	"cmp"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Variable is one variable of the environment, as the tags of its field describe it.
type Variable struct {
	Name        string
	Group       string // the name of the struct that it belongs to
	Description string
	Accepts     string // what a value has to be, such as "a whole number from 8 to 128"
	Default     string // what holds while it is not set; empty if there is none
	Example     string // a value that is good for local development
	Required    bool
	Secret      bool // is never shown, and may come from a file
	File        bool // may come from a file

	empty string // when its file may be empty, as the tag says
}

// Describe returns the variables of target, a pointer as for Load.
func Describe(target any) []Variable {
	var all []Variable
	for _, group := range groupsOf(target) {
		for _, f := range group.fields {
			all = append(all, f.Variable)
		}
	}
	return all
}

// FileName is the variable that names a file with the value, if File.
func (v Variable) FileName() string { return v.Name + "_FILE" }

// advice says what to do with a variable that is missing or wrong.
func (v Variable) advice() string {
	advice := "set it to " + v.Accepts
	if !v.Secret {
		advice += ", such as " + v.Example
	}
	if v.File {
		advice += "; or set " + v.FileName() + " to the path of a file that holds it"
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

// field is where the value of a variable goes.
type field struct {
	Variable

	in    reflect.StructField
	value reflect.Value
}

// groupsOf finds the groups in the struct that target points to, at any depth; it may be
// a group itself.
func groupsOf(target any) []group { return groupsIn(reflect.ValueOf(target).Elem()) }

func groupsIn(whole reflect.Value) []group {
	self := group{value: whole}
	var nested []group
	for in, value := range whole.Fields() {
		switch _, isVariable := in.Tag.Lookup("env"); {
		case isVariable:
			self.fields = append(self.fields, field{variableOf(whole.Type().Name(), in), in, value})
		case value.Kind() == reflect.Struct:
			nested = append(nested, groupsIn(value)...)
		}
	}
	if len(self.fields) == 0 {
		return nested
	}
	return append([]group{self}, nested...)
}

// variableOf reads the tags of a field.
func variableOf(groupName string, in reflect.StructField) Variable {
	name, option, _ := strings.Cut(in.Tag.Get("env"), ",")
	option = strings.TrimSpace(option)
	byDefault, _ := strings.CutPrefix(option, "default=")
	if option == byDefault { // no such option
		byDefault = ""
	}
	secret := in.Type == reflect.TypeFor[Secret]()
	return Variable{
		Name:        name,
		Group:       groupName,
		Description: in.Tag.Get("desc"),
		Accepts:     accepts(in),
		Default:     byDefault,
		Example:     cmp.Or(in.Tag.Get("example"), byDefault),
		Required:    option == "required",
		Secret:      secret,
		File:        secret || in.Tag.Get("file") == "also",
		empty:       in.Tag.Get("empty"),
	}
}

// accepts says in words what a value of the field has to be.
func accepts(in reflect.StructField) string {
	if is := in.Tag.Get("is"); is != "" {
		return is
	}
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
