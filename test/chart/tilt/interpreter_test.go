package tilt_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// start is the way in which a developer starts Tilt.
type start struct {
	settings   map[string]any // the result of config.parse
	context    string         // the context that kubectl uses
	subcommand string         // up, ci or down
	personal   string         // the directory tilt.d; empty: none
}

// run runs the Tiltfile and returns what it declares.
func run(s start) (*declared, error) {
	if s.context == "" {
		s.context = "kind-user-service"
	}
	if s.subcommand == "" {
		s.subcommand = "up"
	}
	i := &interpreter{start: s, declared: &declared{calls: map[string][]map[string]any{}}, loaded: map[string]starlark.StringDict{}}
	i.builtins = i.functions()
	if _, err := i.file("Tiltfile"); err != nil {
		return nil, err
	}
	return i.declared, nil
}

// interpreter runs the Tiltfile and its parts.
type interpreter struct {
	start
	*declared
	builtins starlark.StringDict
	loaded   map[string]starlark.StringDict
}

func (i *interpreter) file(path string) (starlark.StringDict, error) {
	if globals, ok := i.loaded[path]; ok {
		return globals, nil
	}
	thread := &starlark.Thread{Name: path, Load: func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		return i.file(filepath.Join(filepath.Dir(path), module))
	}}
	options := &syntax.FileOptions{TopLevelControl: true} // as in Tilt
	globals, err := starlark.ExecFileOptions(options, thread, path, nil, i.builtins)
	if err != nil {
		return nil, err
	}
	i.loaded[path] = globals
	return globals, nil
}

// helm renders a chart as Tilt does, but without a cluster.
func helm(chart, name, namespace string, values, set []string) (string, error) {
	args := []string{"template", name, chart, "--namespace", namespace}
	for _, file := range values {
		args = append(args, "--values", file)
	}
	for _, value := range set {
		args = append(args, "--set", value)
	}
	var out, message bytes.Buffer
	command := exec.Command(".bin/helm", args...)
	command.Stdout, command.Stderr = &out, &message
	command.Env = append(os.Environ(), "KUBECONFIG=/dev/null", "HELM_CONFIG_HOME="+filepath.Join(os.TempDir(), "no-helm-config"))
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("helm: %w: %s", err, message.String())
	}
	return out.String(), nil
}

// toGo and toStarlark convert values through JSON types.
func toGo(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case starlark.Bool:
		return bool(v)
	case starlark.Int:
		n, _ := v.Int64()
		return n
	case starlark.Float:
		return float64(v)
	case *starlark.List:
		all := []any{}
		for j := range v.Len() {
			all = append(all, toGo(v.Index(j)))
		}
		return all
	case *starlark.Dict:
		all := map[string]any{}
		for _, item := range v.Items() {
			all[strings.Trim(item[0].String(), `"`)] = toGo(item[1])
		}
		return all
	case *starlarkstruct.Struct:
		all := map[string]any{}
		for _, name := range v.AttrNames() {
			member, _ := v.Attr(name)
			all[name] = toGo(member)
		}
		return all
	}
	return nil
}

func toStarlark(v any) starlark.Value {
	switch v := v.(type) {
	case starlark.Value:
		return v
	case string:
		return starlark.String(v)
	case bool:
		return starlark.Bool(v)
	case int64:
		return starlark.MakeInt64(v)
	case float64:
		if v == float64(int64(v)) {
			return starlark.MakeInt64(int64(v))
		}
		return starlark.Float(v)
	case []any:
		list := starlark.NewList(nil)
		for _, member := range v {
			_ = list.Append(toStarlark(member))
		}
		return list
	case map[string]any:
		dict := starlark.NewDict(len(v))
		for key, member := range v {
			_ = dict.SetKey(starlark.String(key), toStarlark(member))
		}
		return dict
	}
	return starlark.None
}
