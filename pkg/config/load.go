package config

import (
	"context"
	"errors"
	"reflect"

	"github.com/sethvargo/go-envconfig"
)

// Load fills target, a pointer to a group, to Config, or to any other struct of groups, from
// the variables in env and from the files that they name: the value of a secret NAME, and of a variable with the tag file, may
// also be the content of the file NAME_FILE, less one newline at its end. An empty variable
// counts as one that is not set. The error, if any, is a *Problems with everything
// that is missing or wrong, the findings of checks included; no secret is in it.
func Load(ctx context.Context, env envconfig.Lookuper, target any, checks ...Check) error {
	groups, found := groupsOf(target), findings{}
	for _, group := range groups {
		for _, f := range group.fields {
			if problem := f.load(ctx, env); problem != nil {
				found.note(*problem)
			}
		}
	}
	for _, group := range groups {
		if s, ok := group.settings().(interface{ derive() }); ok {
			s.derive()
		}
		group.check(found, checks)
	}
	return found.err(groups)
}

// Check looks closer at a secret than this package can, such as at the form of a key. Its error
// follows the name of the variable, "is too short", and shows nothing of the value.
type Check struct {
	Name string // of the variable
	Look func(value string) error
}

// check notes what is wrong with the group's settings.
func (g group) check(found findings, checks []Check) {
	if s, ok := g.settings().(interface{ check(findings) }); ok {
		s.check(found)
	}
	for _, f := range g.fields {
		for _, check := range checks {
			if secret, ok := f.value.Interface().(Secret); ok && secret != "" && check.Name == f.Name {
				if err := check.Look(secret.Reveal()); err != nil {
					found.note(Problem{Name: f.Name, What: err.Error()})
				}
			}
		}
	}
}

// load sets the field, or leaves it zero and returns what is wrong with its variable.
func (f field) load(ctx context.Context, env envconfig.Lookuper) *Problem {
	text, problem := f.read(env)
	if problem != nil {
		return problem
	}
	value, problem := f.parse(ctx, text)
	if problem == nil {
		f.value.Set(value)
	}
	return problem
}

// parse returns what a text stands for, or what is wrong with it.
func (f field) parse(ctx context.Context, text string) (reflect.Value, *Problem) {
	value, err := f.decode(ctx, text)
	switch {
	case errors.Is(err, envconfig.ErrMissingRequired):
		return value, &Problem{f.Name, "is not set", f.advice()}
	case err != nil: // its message may show the value
		return value, &Problem{f.Name, "can't be understood", f.advice()}
	case !boundsOf(f.in).hold(value):
		return value, &Problem{f.Name, "is out of range", f.advice()}
	}
	return value, nil
}

// decode lets go-envconfig turn value, or the default if that is empty, into the field's type.
// It stops at the first error of a struct, so each field gets a struct of its own.
func (f field) decode(ctx context.Context, value string) (reflect.Value, error) {
	one := reflect.New(reflect.StructOf([]reflect.StructField{f.in}))
	lookup := envconfig.LookuperFunc(func(string) (string, bool) { return value, value != "" })
	err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: one.Interface(), Lookuper: lookup})
	return one.Elem().Field(0), err
}

// findings holds the first problem of each variable, by name. What else is wrong with a
// variable follows from it, as a missing key is also too short.
type findings map[string]Problem

func (f findings) note(p Problem) {
	if _, known := f[p.Name]; !known {
		f[p.Name] = p
	}
}

// require notes what is wrong with the variable name, unless ok.
func (f findings) require(ok bool, name, what string) {
	if !ok {
		f.note(Problem{Name: name, What: what})
	}
}

// err returns the findings in the order of the variables, or nil if there are none.
func (f findings) err(groups []group) error {
	var list []Problem
	for _, group := range groups {
		for _, field := range group.fields {
			if p, ok := f[field.Name]; ok {
				if p.Do == "" {
					p.Do = field.advice()
				}
				list = append(list, p)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &Problems{List: list}
}
