package chart_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// emptyCluster starts an API server without objects, and returns the path of its kubeconfig. The server supports Helm's requests,
// so that lookup works as during an installation.
func emptyCluster(t *testing.T) string {
	t.Helper()
	answers := map[string]string{
		"/version": `{"major": "1", "minor": "33", "gitVersion": "v1.33.0"}`,
		"/api":     `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [
			{"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]},
			{"name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}]},
			{"name": "networking.k8s.io", "versions": [{"groupVersion": "networking.k8s.io/v1", "version": "v1"}]}]}`,
		"/api/v1":                             resources("v1", "Pod", "Secret", "Service", "ServiceAccount"),
		"/apis/apps/v1":                       resources("apps/v1", "Deployment", "StatefulSet"),
		"/apis/batch/v1":                      resources("batch/v1", "Job"),
		"/apis/networking.k8s.io/v1":          resources("networking.k8s.io/v1", "NetworkPolicy"),
		"/api/v1/namespaces/identity/secrets": `{"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[strings.TrimSuffix(r.URL.Path, "/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)

	config := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "it",
		"clusters": [{"name": "it", "cluster": {"server": %q}}], "users": [{"name": "it", "user": {}}],
		"contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}`, server.URL)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// resources returns the kinds of a group version.
func resources(groupVersion string, kinds ...string) string {
	var list []string
	for _, kind := range kinds {
		resource := strings.ToLower(kind) + "s"
		list = append(list, fmt.Sprintf(`{"name": %q, "namespaced": true, "kind": %q, "verbs": ["get", "list"]}`, resource, kind))
	}
	return fmt.Sprintf(`{"kind": "APIResourceList", "groupVersion": %q, "resources": [%s]}`, groupVersion, strings.Join(list, ","))
}

// renderInCluster renders the chart as helm install does on an empty cluster.
func renderInCluster(t *testing.T, args ...string) string {
	t.Helper()
	flags := []string{"template", "accounts", chart, "--kubeconfig", emptyCluster(t), "--dry-run=server", "--disable-openapi-validation"}
	return run(t, nil, "helm", slices.Concat(flags, apis, args)...)
}
