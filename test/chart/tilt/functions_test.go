package tilt_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"sigs.k8s.io/yaml"
)

// recorded are Tilt's functions whose calls are recorded, with the names of their positional parameters.
var recorded = map[string]string{
	"version_settings":               "",
	"ci_settings":                    "",
	"secret_settings":                "",
	"allow_k8s_contexts":             "contexts",
	"k8s_resource":                   "workload",
	"local_resource":                 "name",
	"docker_build":                   "ref context",
	"port_forward":                   "local_port container_port",
	"link":                           "url name",
	"sync":                           "local_path remote_path",
	"run":                            "cmd",
	"fall_back_on":                   "files",
	"config.define_string":           "name",
	"config.define_bool":             "name",
	"config.define_object":           "name",
	"config.define_string_list":      "name",
	"config.set_enabled_resources":   "resources",
	"v1alpha1.ui_button":             "",
	"v1alpha1.cmd":                   "",
	"v1alpha1.ui_component_location": "",
	"v1alpha1.ui_input_spec":         "",
	"v1alpha1.ui_text_input_spec":    "",
	"v1alpha1.start_on_spec":         "",
}

type builtin = func(
	thread *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple,
) (starlark.Value, error)

// functions are all functions that a Tiltfile can call here.
func (i *interpreter) functions() starlark.StringDict {
	all := starlark.StringDict{
		"TRIGGER_MODE_MANUAL": starlark.String("manual"),
		"TRIGGER_MODE_AUTO":   starlark.String("auto"),
		"struct":              starlark.NewBuiltin("struct", starlarkstruct.Make),
		"fail":                starlark.NewBuiltin("fail", fail),
		"k8s_context":         starlark.NewBuiltin("k8s_context", i.k8sContext),
		"local":               starlark.NewBuiltin("local", local),
		"k8s_yaml":            starlark.NewBuiltin("k8s_yaml", i.k8sYAML),
		"helm":                starlark.NewBuiltin("helm", renderChart),
		"decode_yaml_stream":  starlark.NewBuiltin("decode_yaml_stream", decodeYAMLStream),
		"encode_yaml_stream":  starlark.NewBuiltin("encode_yaml_stream", encodeYAMLStream),
		"encode_yaml":         starlark.NewBuiltin("encode_yaml", encodeYAML),
		"listdir":             starlark.NewBuiltin("listdir", i.listdir),
		"include":             starlark.NewBuiltin("include", i.include),
	}
	modules := map[string]starlark.StringDict{
		"config": {
			"parse":           starlark.NewBuiltin("config.parse", i.parse),
			"tilt_subcommand": starlark.String(i.subcommand),
			"main_dir":        starlark.String("/project"),
		},
		"v1alpha1": {},
		"os": {"path": starlarkstruct.FromStringDict(starlark.String("path"), starlark.StringDict{
			"exists": starlark.NewBuiltin("os.path.exists", i.exists),
		})},
	}
	for name, parameters := range recorded {
		recorder := starlark.NewBuiltin(name, i.record(name, strings.Fields(parameters)))
		if module, function, ok := strings.Cut(name, "."); ok {
			modules[module][function] = recorder
		} else {
			all[name] = recorder
		}
	}
	for name, members := range modules {
		all[name] = starlarkstruct.FromStringDict(starlark.String(name), members)
	}
	return all
}

// record stores the arguments of a call by the parameters' names, and returns them as a struct.
func (i *interpreter) record(name string, parameters []string) builtin {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		given := starlark.StringDict{}
		if len(args) > len(parameters) {
			return nil, fmt.Errorf("%s: %d arguments", name, len(args))
		}
		for n, value := range args {
			given[parameters[n]] = value
		}
		for _, pair := range kwargs {
			given[string(pair[0].(starlark.String))] = pair[1]
		}
		value := starlarkstruct.FromStringDict(starlark.String(name), given)
		i.calls[name] = append(i.calls[name], toGo(value).(map[string]any))
		return value, nil
	}
}

func (i *interpreter) k8sContext(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return starlark.String(i.context), nil
}

// local returns the architecture of the cluster for the Tiltfile's only kubectl query, and runs tilt/jwt-secret, which needs no cluster.
func local(_ *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var command *starlark.List
	var quiet, silent bool
	if err := starlark.UnpackArgs(fn.Name(), args, kwargs, "command", &command, "quiet?", &quiet, "echo_off?", &silent); err != nil {
		return nil, err
	}
	argv := words(toGo(command))
	if len(argv) == 1 && argv[0] == "tilt/jwt-secret" {
		if !quiet || !silent {
			return nil, errors.New("local: Tilt would print the key")
		}
		out, err := exec.Command(argv[0]).Output()
		return starlark.String(out), err
	}
	if argv[0] != "kubectl" || !strings.Contains(argv[len(argv)-1], "architecture") {
		return nil, fmt.Errorf("local: the test does not know the output of %v", argv)
	}
	return starlark.String(architecture), nil
}

const architecture = "arm64"

func fail(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	message, _ := starlark.AsString(args[0])
	return nil, errors.New(message)
}

// parse returns the given settings.
func (i *interpreter) parse(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return toStarlark(i.settings), nil
}

// exists returns whether the test has a directory tilt.d. So a developer's own tilt.d does not change the tests.
func (i *interpreter) exists(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return starlark.Bool(i.personal != ""), nil
}

// listdir lists the test's tilt.d, and fails if the test has none.
func (i *interpreter) listdir(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if dir, _ := starlark.AsString(args[0]); dir != "tilt.d" {
		return nil, fmt.Errorf("listdir: %s is listed", dir)
	}
	entries, err := os.ReadDir(i.personal)
	list := starlark.NewList(nil)
	for _, entry := range entries {
		_ = list.Append(starlark.String(filepath.Join(i.personal, entry.Name())))
	}
	return list, err
}

func (i *interpreter) include(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	path, _ := starlark.AsString(args[0])
	_, err := i.file(path)
	return starlark.None, err
}

// k8sYAML accepts a text, which is what encode_yaml_stream returns here, or the paths of files.
func (i *interpreter) k8sYAML(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if text, ok := starlark.AsString(args[0]); ok {
		return starlark.None, i.add(text)
	}
	for _, path := range toGo(args[0]).([]any) {
		text, err := os.ReadFile(path.(string))
		if err != nil {
			return nil, err
		}
		if err := i.add(string(text)); err != nil {
			return nil, err
		}
	}
	return starlark.None, nil
}

func (i *interpreter) add(stream string) error {
	objects, err := split(stream)
	i.objects = append(i.objects, objects...)
	return err
}

func renderChart(_ *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var chart, name, namespace string
	var values, set *starlark.List
	err := starlark.UnpackArgs(fn.Name(), args, kwargs,
		"pathToChartDir", &chart, "name", &name, "namespace", &namespace, "values", &values, "set", &set)
	if err != nil {
		return nil, err
	}
	text, err := helm(chart, name, namespace, words(toGo(values)), words(toGo(set)))
	return starlark.String(text), err
}

func decodeYAMLStream(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	text, _ := starlark.AsString(args[0])
	objects, err := split(text)
	list := starlark.NewList(nil)
	for _, object := range objects {
		_ = list.Append(toStarlark(object))
	}
	return list, err
}

func encodeYAMLStream(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	var documents []string
	for _, object := range toGo(args[0]).([]any) {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		documents = append(documents, string(text))
	}
	return starlark.String(strings.Join(documents, "\n---\n")), nil
}

func encodeYAML(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	text, err := yaml.Marshal(toGo(args[0]))
	return starlark.String(text), err
}
