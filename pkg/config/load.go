package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Load reads the variables of env into target, which is a pointer to a group, to Config, or to another struct of groups. For a variable
// with Variable.File, NAME_FILE may be the path of a file with the value. Load ignores one newline at the end of the file. An empty
// variable counts as not set. Errors: *Problems, with all problems including those that checks find. The error contains no secret.
func Load(env envconfig.Lookuper, target any, checks ...Check) error {
	groups, found := groupsOf(target), findings{}
	for _, group := range groups {
		for _, f := range group.fields {
			if problem := f.load(env); problem != nil {
				found.add(*problem)
			}
		}
	}
	for _, group := range groups {
		if s, ok := group.settings().(interface{ derive() }); ok {
			s.derive()
		}
		group.check(found, checks)
	}
	if all, ok := target.(*Config); ok {
		all.check(found)
	}
	return found.err(groups)
}

// Check validates a secret with code of another package, for example the form of a key. The text of the error of Validate follows the
// name of the variable ("is too short"), and must not contain the value.
type Check struct {
	Name     string // the name of the variable
	Validate func(value string) error
}

// check adds the problems of the group's settings to found.
func (g group) check(found findings, checks []Check) {
	if s, ok := g.settings().(interface{ check(findings) }); ok {
		s.check(found)
	}
	for _, f := range g.fields {
		for _, check := range checks {
			if secret, ok := f.value.Interface().(Secret); ok && secret != "" && check.Name == f.Name {
				if err := check.Validate(secret.Reveal()); err != nil {
					found.add(Problem{Name: f.Name, What: err.Error()})
				}
			}
		}
	}
}

// load sets the field to the value of its variable, or returns a problem and leaves the field unchanged.
func (f field) load(env envconfig.Lookuper) *Problem {
	text, problem := f.read(env)
	if problem != nil {
		return problem
	}
	value, problem := f.parse(text)
	if problem == nil {
		f.value.Set(value)
	}
	return problem
}

// parse returns the value that a text stands for. An empty text stands for the default.
func (f field) parse(text string) (reflect.Value, *Problem) {
	value := reflect.New(f.value.Type())
	if text == "" {
		text = f.Default
	}
	switch {
	case text == "" && f.Required:
		return value, &Problem{f.Name, "is not set", f.advice()}
	case text == "":
		return value.Elem(), nil
	case decode(text, value.Interface()) != nil: // the error may contain the value
		return value, &Problem{f.Name, "can't be parsed", f.advice()}
	case !f.bounds.contain(value.Elem()):
		return value, &Problem{f.Name, "is out of range", f.advice()}
	}
	return value.Elem(), nil
}

// decode parses a text into the target, a pointer to the type of a field.
func decode(text string, target any) (err error) {
	switch t := target.(type) {
	case *string:
		*t = text
	case *Secret:
		*t = Secret(text)
	case *bool:
		*t, err = strconv.ParseBool(text)
	case *time.Duration:
		*t, err = time.ParseDuration(text)
	case *int:
		err = decodeInt(text, t)
	case *int32:
		err = decodeInt(text, t)
	case *uint32:
		err = decodeInt(text, t)
	case *uint8:
		err = decodeInt(text, t)
	case encoding.TextUnmarshaler:
		err = t.UnmarshalText([]byte(text))
	default:
		panic(fmt.Sprintf("configuration variable of the type %T", target))
	}
	return err
}

// decodeInt parses a whole number, and fails if it overflows the type.
func decodeInt[T int | int32 | uint32 | uint8](text string, target *T) error {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		return err
	}
	if *target = T(n); int64(*target) != n {
		return strconv.ErrRange
	}
	return nil
}

// findings holds the first problem of each variable under the name of the variable. Further problems of a variable are consequences of
// the first one. For example, a missing key is also too short.
type findings map[string]Problem

func (f findings) add(p Problem) {
	if _, known := f[p.Name]; !known {
		f[p.Name] = p
	}
}

func (f findings) has(name string) bool {
	_, known := f[name]
	return known
}

// require adds a problem with the variable if ok is false.
func (f findings) require(ok bool, name, what string) {
	if !ok {
		f.add(Problem{Name: name, What: what})
	}
}

// err returns the findings in the order of the variables, or nil.
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
