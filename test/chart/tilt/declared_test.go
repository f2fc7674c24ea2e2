package tilt_test

import (
	"fmt"
	"regexp"
	"slices"

	"sigs.k8s.io/yaml"
)

// declared holds the calls of a Tiltfile to Tilt. The tests check only the calls. "tilt ci" checks that Tilt accepts the calls, and that
// the declared resources start.
type declared struct {
	calls   map[string][]map[string]any // the arguments of each call, by the function's name
	objects []object
}

// object is an object of Kubernetes.
type object = map[string]any

// resources returns the arguments of k8s_resource and local_resource by the name of the resource.
func (d *declared) resources() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, call := range slices.Concat(d.calls["k8s_resource"], d.calls["local_resource"]) {
		name := text(call, "name")
		for _, key := range []string{"workload", "new_name"} {
			if other := text(call, key); other != "" {
				name = other
			}
		}
		all[name] = call
	}
	return all
}

// find returns the object of a kind with this name, or nil.
func (d *declared) find(kind, name string) object {
	for _, o := range d.objects {
		if text(o, "kind") == kind && text(o, "metadata", "name") == name {
			return o
		}
	}
	return nil
}

// container returns the only container of the service's pods.
func (d *declared) container() object { return containerOf(d.find("Deployment", "user-service")) }

// containerOf returns the only container of a Deployment's pods.
func containerOf(deployment object) object {
	containers, _ := at(deployment, "spec", "template", "spec", "containers").([]any)
	return containers[0].(object)
}

// at follows keys, and returns nil if one does not exist.
func at(o any, keys ...string) any {
	for _, key := range keys {
		members, _ := o.(object)
		o = members[key]
	}
	return o
}

func text(o any, keys ...string) string {
	s, _ := at(o, keys...).(string)
	return s
}

// words converts one string, or a list of strings.
func words(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, member := range v {
			all = append(all, member.(string))
		}
	}
	return all
}

// options converts a list of structs.
func options(v any) []map[string]any {
	var all []map[string]any
	list, _ := v.([]any)
	for _, member := range list {
		all = append(all, member.(map[string]any))
	}
	return all
}

var documentMark = regexp.MustCompile(`(?m)^---.*$`)

// split parses a stream of YAML and omits empty documents.
func split(stream string) ([]object, error) {
	var all []object
	for _, document := range documentMark.Split(stream, -1) {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, document)
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all, nil
}
