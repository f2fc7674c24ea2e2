package config

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Source says where the value of a variable comes from.
type Source string

// The sources of values.
const (
	FromDefault     Source = "default"
	FromEnvironment Source = "environment"
	FromFile        Source = "file"
)

// source says where the value of v comes from. An empty variable counts as one
// that is not set.
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

// read returns the value that v is set to, empty if it is not set.
func (v Variable) read(env envconfig.Lookuper) (string, *Problem) {
	value := get(env, v.Name)
	if v.source(env) != FromFile {
		return value, nil
	}
	if value != "" {
		return "", &Problem{v.Name, "is set, and so is " + v.FileName(), "set one of them, not both"}
	}
	content, err := readFile(get(env, v.FileName()))
	file := "the file that " + v.FileName() + " names"
	switch {
	case err != nil:
		return "", &Problem{v.Name, "can't be read from " + file + ": " + err.Error(), "name a file that the service may read"}
	case content == "" && v.empty == "":
		return "", &Problem{v.Name, "is empty in " + file, "write the value to that file"}
	}
	return content, nil
}

// readFile returns the content of a file without the one newline that an editor or echo
// leaves at its end. Its error leaves out the path: whoever mistook NAME_FILE for NAME
// has put the secret there.
func readFile(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator decides which file
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
