package main

import (
	"fmt"
	"maps"
)

// pod has the fields of a Pod that the webhooks read.
type pod struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		SecurityContext map[string]any `json:"securityContext"`
		InitContainers  []container    `json:"initContainers"`
		Containers      []container    `json:"containers"`
	} `json:"spec"`
}

type container struct {
	SecurityContext map[string]any `json:"securityContext"`
}

// injectSidecar adds a container that never ends, as the injectors of service meshes do. The annotation e2e/sidecar of a pod selects a
// native sidecar, or none.
func injectSidecar(p pod, image string) []change {
	sidecar := map[string]any{
		"name": "sidecar", "image": image, "args": []string{"idle"},
		"securityContext": map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []string{"ALL"}}},
	}
	switch p.Metadata.Annotations["e2e/sidecar"] {
	case "none":
		return nil
	case "native":
		sidecar["restartPolicy"] = "Always"
		if len(p.Spec.InitContainers) == 0 {
			return []change{{Op: "add", Path: "/spec/initContainers", Value: []any{sidecar}}}
		}
		return []change{{Op: "add", Path: "/spec/initContainers/0", Value: sidecar}}
	default:
		return []change{{Op: "add", Path: "/spec/containers/-", Value: sidecar}}
	}
}

// uid is the user of all pods, as OpenShift takes it from the range of a namespace.
const uid = 1000680000

// assignUser does what the security context constraint restricted-v2 of OpenShift does: it refuses a pod that chooses its own user or
// group, and sets both.
func assignUser(p pod) ([]change, error) {
	podContext := p.Spec.SecurityContext
	if group := podContext["fsGroup"]; group != nil {
		return nil, fmt.Errorf("fsGroup %v is not an allowed group", group)
	}
	podContext = with(podContext, "fsGroup", uid)
	changes := []change{{Op: "add", Path: "/spec/securityContext", Value: podContext}}
	for kind, containers := range map[string][]container{"initContainers": p.Spec.InitContainers, "containers": p.Spec.Containers} {
		for i, c := range containers {
			for _, context := range []map[string]any{podContext, c.SecurityContext} {
				if user := context["runAsUser"]; user != nil {
					return nil, fmt.Errorf("runAsUser %v is not in the range of the namespace", user)
				}
			}
			path := fmt.Sprintf("/spec/%s/%d/securityContext", kind, i)
			changes = append(changes, change{Op: "add", Path: path, Value: with(c.SecurityContext, "runAsUser", uid)})
		}
	}
	return changes, nil
}

// with returns a copy of a security context with one more field.
func with(context map[string]any, field string, value any) map[string]any {
	context = maps.Clone(context)
	if context == nil {
		context = map[string]any{}
	}
	context[field] = value
	return context
}
