package tilt_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// declared holds the calls of a Tiltfile to Tilt.
type declared struct {
	calls     map[string][]map[string]any // the arguments of each call, by the function's name
	objects   []object
	resources map[string]*resource
}

// object is an object of Kubernetes.
type object = map[string]any

// resource is a Tilt resource: objects of the cluster, or commands.
type resource struct {
	options map[string]any // those of k8s_resource or local_resource
	objects []object
	pod     object // the template of its pods, if there is one
}

func newDeclared() *declared {
	return &declared{calls: map[string][]map[string]any{}, resources: map[string]*resource{}}
}

// assemble groups objects into resources as Tilt does. A workload and the Services that select its pods are one resource.
// k8s_resource renames it and adds objects.
func (d *declared) assemble() error {
	taken := make([]bool, len(d.objects))
	for n, o := range d.objects {
		pod := template(o)
		if pod == nil {
			continue
		}
		r := &resource{objects: []object{o}, pod: pod, options: map[string]any{}}
		d.resources[text(o, "metadata", "name")] = r
		taken[n] = true
		for m, service := range d.objects {
			if text(service, "kind") == "Service" && selects(service, pod) {
				if taken[m] {
					return fmt.Errorf("the Service %s selects the pods of two workloads", text(service, "metadata", "name"))
				}
				taken[m] = true
				r.objects = append(r.objects, service)
			}
		}
	}
	for _, call := range d.calls["local_resource"] {
		d.resources[call["name"].(string)] = &resource{options: call}
	}
	for _, call := range d.calls["k8s_resource"] {
		if err := d.configure(call, taken); err != nil {
			return err
		}
	}
	for n, o := range d.objects {
		if !taken[n] {
			return fmt.Errorf("no resource has the %s %s", text(o, "kind"), text(o, "metadata", "name"))
		}
	}
	return nil
}

// configure applies a call of k8s_resource.
func (d *declared) configure(call map[string]any, taken []bool) error {
	workload, _ := call["workload"].(string)
	name, _ := call["new_name"].(string)
	r := d.resources[workload]
	switch {
	case workload == "":
		r = &resource{}
	case r == nil || r.pod == nil:
		return fmt.Errorf("k8s_resource: there is no workload %s", workload)
	case name == "":
		name = workload
	}
	delete(d.resources, workload)
	if d.resources[name] != nil {
		return fmt.Errorf("there are two resources %s", name)
	}
	r.options = call
	d.resources[name] = r
	for _, selector := range words(call["objects"]) {
		n := slices.IndexFunc(d.objects, func(o object) bool {
			return strings.EqualFold(text(o, "metadata", "name")+":"+text(o, "kind"), selector)
		})
		if n < 0 || taken[n] {
			return fmt.Errorf("k8s_resource %s: %s is not there, or belongs to another resource", name, selector)
		}
		taken[n] = true
		r.objects = append(r.objects, d.objects[n])
	}
	return nil
}

// template returns the pod template of a workload, or nil for other objects.
func template(o object) object {
	switch text(o, "kind") {
	case "Deployment", "StatefulSet", "DaemonSet", "Job":
		return at(o, "spec", "template").(object)
	case "Pod":
		return o
	}
	return nil
}

func selects(service, pod object) bool {
	selector, _ := at(service, "spec", "selector").(object)
	labels, _ := at(pod, "metadata", "labels").(object)
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// containers returns the containers of a resource's pods.
func (r *resource) containers() []object {
	var all []object
	for _, key := range []string{"initContainers", "containers"} {
		list, _ := at(r.pod, "spec", key).([]any)
		for _, c := range list {
			all = append(all, c.(object))
		}
	}
	return all
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
