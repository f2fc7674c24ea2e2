package config

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Source is the origin of a value.
type Source string

// Where the value of a variable comes from.
const (
	FromDefault     Source = "default"
	FromEnvironment Source = "environment"
	FromFile        Source = "file"
)

// source returns the source of v. An empty variable counts as not set.
func (v Variable) source(env envconfig.Lookuper) Source {
	switch {
	case v.File && get(env, v.FileName()) != "":
		return FromFile
	case get(env, v.Name) != "":
		return FromEnvironment
	default:
		return FromDefault
	}
}

// read returns the value of v, or "" if it is not set.
func (v Variable) read(env envconfig.Lookuper) (string, *Problem) {
	value := get(env, v.Name)
	if v.source(env) != FromFile {
		return value, nil
	}
	if value != "" {
		return "", &Problem{v.Name, "is set, and so is " + v.FileName(), "set only one of them"}
	}
	content, err := readFile(get(env, v.FileName()))
	file := "the file of " + v.FileName()
	switch {
	case err != nil:
		return "", &Problem{v.Name, "can't be read from " + file + ": " + err.Error(), "set it to a file that the service can read"}
	case content == "" && v.empty == "":
		return "", &Problem{v.Name, "is empty in " + file, "write the value to that file"}
	}
	return content, nil
}

// readFile returns the content of a file without one newline at the end. The error does not contain the path, because the operator may
// have set NAME_FILE to the secret by mistake.
func readFile(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator sets the path
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return "", err
	}
	line, ended := strings.CutSuffix(string(content), "\n")
	if ended {
		line = strings.TrimSuffix(line, "\r")
	}
	return line, nil
}

func get(env envconfig.Lookuper, name string) string {
	value, _ := env.Lookup(name)
	return value
}
