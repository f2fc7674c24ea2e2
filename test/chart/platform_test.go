package chart_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// platform are values with every option for platforms.
const platform = chart + "/ci/platform-values.yaml"

// objects decodes a rendered stream. It omits kinds of operators.
func objects(t *testing.T, stream string) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for _, document := range documents(t, []byte(stream)) {
		if object := decodes(t, document); object != nil {
			all = append(all, object)
		}
	}
	return all
}

// find returns the first object of a type whose name has a suffix.
func find[T interface {
	runtime.Object
	GetName() string
}](t *testing.T, all []runtime.Object, suffix string,
) T {
	t.Helper()
	for _, object := range all {
		if found, ok := object.(T); ok && strings.HasSuffix(found.GetName(), suffix) {
			return found
		}
	}
	var none T
	t.Fatalf("no %T with a name that ends in %q", none, suffix)
	return none
}

// allOf returns the objects of an operator's kind, at least one.
func allOf(t *testing.T, stream, kind string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, document := range documents(t, []byte(stream)) {
		if object := parse[map[string]any](t, document); object["kind"] == kind {
			all = append(all, object)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no %s", kind)
	}
	return all
}

// same compares a value with JSON text. Only the members in want are compared.
func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var have, wanted any
	if err := json.Unmarshal(text, &have); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if !contains(have, wanted) {
		t.Errorf("%s is %s, want %s", what, text, want)
	}
}

func contains(have, want any) bool {
	members, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(have, want)
	}
	object, ok := have.(map[string]any)
	for name, member := range members {
		if value, has := object[name]; !ok || !has || !contains(value, member) {
			return false
		}
	}
	return ok
}

func TestThePodsHaveTheFieldsOfThePlatform(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	deployment := find[*appsv1.Deployment](t, all, "user-service")
	for _, spec := range []appsv1.DeploymentSpec{deployment.Spec, mailerOf(t, all).Spec} {
		if spec.Replicas != nil {
			t.Errorf("replicas is %d, want none", *spec.Replicas)
		}
		same(t, "the Deployment", spec,
			`{"minReadySeconds": 5, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}}`)
	}
	for name, spec := range map[string]corev1.PodSpec{
		"the service": deployment.Spec.Template.Spec,
		"the mailer":  mailerOf(t, all).Spec.Template.Spec,
		"the Job":     find[*batchv1.Job](t, all, "").Spec.Template.Spec,
		"helm test":   find[*corev1.Pod](t, all, "-test").Spec,
	} {
		same(t, name, spec, `{
			"schedulerName": "bin-packing", "runtimeClassName": "gvisor", "hostUsers": false, "dnsPolicy": "ClusterFirst",
			"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
			"hostAliases": [{"ip": "192.0.2.10", "hostnames": ["db.example.com"]}],
			"imagePullSecrets": [{"name": "own"}, {"name": "shared"}]}`)
		same(t, name+"'s security context", map[string]any{"is": spec.SecurityContext},
			`{"is": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}, "supplementalGroups": [1000]}}`)
		if context := spec.SecurityContext; context.RunAsUser != nil || context.RunAsGroup != nil || context.FSGroup != nil {
			t.Errorf("%s has an id: %+v", name, context)
		}
		for _, container := range spec.Containers {
			if !strings.HasPrefix(container.Image, "registry.example.com:5000/user-service/") {
				continue // a container that the values add
			}
			if container.SecurityContext.ReadOnlyRootFilesystem != nil || *container.SecurityContext.RunAsUser != 1000660000 {
				t.Errorf("the security context of %s is %+v", container.Name, container.SecurityContext)
			}
		}
	}
}

func mailerOf(t *testing.T, all []runtime.Object) *appsv1.Deployment {
	t.Helper()
	return find[*appsv1.Deployment](t, all, "-mailer")
}

func TestContainersAreAddedToThePods(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	service := find[*appsv1.Deployment](t, all, "user-service").Spec.Template.Spec
	job := find[*batchv1.Job](t, all, "").Spec.Template.Spec
	mailer := mailerOf(t, all).Spec.Template.Spec
	for what, pair := range map[string][2][]string{
		"init containers of the service": {containerNames(service.InitContainers), {"proxy"}},
		"containers of the service":      {containerNames(service.Containers), {"user-service", "log"}},
		"init containers of the Job":     {containerNames(job.InitContainers), {"proxy", "migrate"}},
		"containers of the Job":          {containerNames(job.Containers), {"admin", "log"}},
		"init containers of the mailer":  {containerNames(mailer.InitContainers), {"proxy"}},
		"containers of the mailer":       {containerNames(mailer.Containers), {"mailer", "log"}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("the %s are %v, want %v", what, pair[0], pair[1])
		}
	}
	same(t, "the lifecycle", service.Containers[0].Lifecycle,
		`{"preStop": {"sleep": {"seconds": 5}}, "postStart": {"exec": {"command": ["/usr/local/bin/user-service", "version"]}}}`)
	for _, container := range []corev1.Container{service.Containers[0], job.Containers[0], job.InitContainers[1]} {
		same(t, container.Name, container, `{"envFrom": [{"configMapRef": {"name": "shared"}}]}`)
	}
	same(t, "the mailer", mailer.Containers[0],
		`{"envFrom": [{"configMapRef": {"name": "mailer"}}], "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}`)
}

func TestTheJobAndTheMailerHaveAPlaceOfTheirOwn(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	service := find[*appsv1.Deployment](t, all, "user-service").Spec.Template.Spec
	job, mailer := find[*batchv1.Job](t, all, "").Spec.Template.Spec, mailerOf(t, all).Spec.Template.Spec
	same(t, "the Job", job, `{"priorityClassName": "system-cluster-critical"}`)
	same(t, "the mailer", mailer, `{"priorityClassName": "low"}`)
	if job.Affinity == nil || mailer.Affinity == nil || service.Affinity != nil {
		t.Errorf("the affinity of the Job is %v, of the mailer %v, of the service %v", job.Affinity, mailer.Affinity, service.Affinity)
	}
	for component, spec := range map[string]corev1.PodSpec{"api": service, "mailer": mailer} {
		labels := `{"matchLabels": {"app.kubernetes.io/component": "` + component + `", "app.kubernetes.io/instance": "accounts", ` +
			`"app.kubernetes.io/name": "user-service"}}`
		same(t, "the topology spread", spec.TopologySpreadConstraints[0],
			`{"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": `+labels+`}`)
	}
}

// A labelSelector in the values applies only to the service's pods. The mailer's pods keep the chart's selector, because otherwise they
// would be spread according to the places of the service's pods.
func TestASelectorInTheValuesIsThatOfTheService(t *testing.T) {
	t.Parallel()
	all := objects(t, run(t, nil, "helm", "template", "accounts", chart, "--values", platform, "--set-json",
		`topologySpreadConstraints=[{"topologyKey": "a", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", `+
			`"labelSelector": {"matchLabels": {"own": "yes"}}}]`))
	for name, want := range map[string]string{
		"user-service": `{"matchLabels": {"own": "yes"}}`, "-mailer": `{"matchLabels": {"app.kubernetes.io/component": "mailer"}}`,
	} {
		spec := find[*appsv1.Deployment](t, all, name).Spec.Template.Spec
		same(t, name, spec.TopologySpreadConstraints[0].LabelSelector, want)
	}
}

func containerNames(containers []corev1.Container) []string {
	var all []string
	for _, container := range containers {
		all = append(all, container.Name)
	}
	return all
}

func TestExtraObjectsAreTemplates(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	same(t, "the map", find[*corev1.ConfigMap](t, all, "accounts-map").Data,
		`{"image": "registry.example.com:5000/user-service/user-service:0.1.0"}`)
	find[*corev1.ConfigMap](t, all, "accounts-text")
}

func TestTheServicesHaveTheFieldsOfThePlatform(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	families := `"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]`
	service := find[*corev1.Service](t, all, "user-service").Spec
	same(t, "the Service", service, `{"type": "LoadBalancer", "trafficDistribution": "PreferClose", "externalTrafficPolicy": "Local",
		"loadBalancerClass": "example.com/internal", "loadBalancerSourceRanges": ["192.0.2.0/24"], `+families+`}`)
	if len(service.Ports) != 1 || service.Ports[0].NodePort != 30080 {
		t.Errorf("the ports of the Service are %+v", service.Ports)
	}
	same(t, "the Service of the metrics", find[*corev1.Service](t, all, "-metrics").Spec, `{"type": "ClusterIP", `+families+`}`)

	headless := objects(t, run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", "service.clusterIP=None"))
	same(t, "the Service", find[*corev1.Service](t, headless, "user-service").Spec, `{"clusterIP": "None"}`)
}

func TestTheRoutesHaveTheFieldsOfThePlatform(t *testing.T) {
	t.Parallel()
	stream := render(t, "helm", platform)
	ingress := find[*networkingv1.Ingress](t, objects(t, stream), "user-service").Spec
	var paths []string
	for _, rule := range ingress.Rules {
		for _, path := range rule.HTTP.Paths {
			paths = append(paths, rule.Host+path.Path+" "+string(*path.PathType))
		}
	}
	want := []string{"users.example.com/login Exact", "users.example.com/users Prefix", "admin.example.com/ Prefix"}
	if !slices.Equal(paths, want) {
		t.Errorf("the paths of the Ingress are %v, want %v", paths, want)
	}
	spec, _ := allOf(t, stream, "HTTPRoute")[0]["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	same(t, "the HTTPRoute", rules[0],
		`{"matches": [{"method": "POST", "path": {"type": "Exact", "value": "/login"}}], "timeouts": {"request": "10s"},
			"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["X-User-Id"]}}]}`)
	if len(rules) != 2 {
		t.Errorf("the HTTPRoute has %d rules", len(rules))
	}
}

func TestScalingAndDisruptionsAreThePlatforms(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	for _, name := range []string{"user-service", "-mailer"} {
		budget := find[*policyv1.PodDisruptionBudget](t, all, name).Spec
		if budget.MaxUnavailable != nil || budget.MinAvailable.String() != "50%" {
			t.Errorf("the budget %s is %+v", name, budget)
		}
	}
	metrics := find[*autoscalingv2.HorizontalPodAutoscaler](t, all, "user-service").Spec.Metrics
	if len(metrics) != 1 || metrics[0].Pods == nil {
		t.Errorf("the metrics of the autoscaler are %+v", metrics)
	}
}

func TestAPodMonitorOfAnotherNamespaceFindsThePods(t *testing.T) {
	t.Parallel()
	monitors := allOf(t, render(t, "helm", platform), "PodMonitor")
	for i, c := range []struct{ component, job string }{{"api", "accounts-user-service"}, {"mailer", "accounts-user-service-mailer"}} {
		same(t, "the PodMonitor", monitors[i], `{"metadata": {"namespace": "monitoring"}, "spec": {
			"namespaceSelector": {"matchNames": ["identity"]}, "podTargetLabels": ["team"],
			"selector": {"matchLabels": {"app.kubernetes.io/component": "`+c.component+`"}}}}`)
		spec, _ := monitors[i]["spec"].(map[string]any)
		endpoints, _ := spec["podMetricsEndpoints"].([]any)
		same(t, "the endpoint", endpoints[0], `{"port": "metrics", "honorLabels": true,
			"relabelings": [{"targetLabel": "job", "replacement": "`+c.job+`"},
				{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
			"metricRelabelings": [{"regex": "http_route", "action": "labeldrop"}]}`)
	}
}

// A ServiceMonitor has the same options as a PodMonitor.
func TestAServiceMonitorHasTheFieldsOfThePlatform(t *testing.T) {
	t.Parallel()
	stream := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set-json", `serviceMonitor={"enabled": true,
		"namespace": "monitoring", "targetLabels": ["team"], "honorLabels": true, "relabelings": [{"action": "labelmap"}],
		"metricRelabelings": [{"regex": "http_route", "action": "labeldrop"}]}`)
	monitor := allOf(t, stream, "ServiceMonitor")[0]
	same(t, "the ServiceMonitor", monitor, `{"metadata": {"namespace": "monitoring"}, "spec": {
		"namespaceSelector": {"matchNames": ["identity"]}, "targetLabels": ["team"]}}`)
	spec, _ := monitor["spec"].(map[string]any)
	endpoints, _ := spec["endpoints"].([]any)
	same(t, "the endpoint", endpoints[0], `{"honorLabels": true,
		"relabelings": [{"targetLabel": "job", "replacement": "accounts-user-service"}, {"action": "labelmap"}],
		"metricRelabelings": [{"regex": "http_route", "action": "labeldrop"}]}`)
}

func TestDashboardsMayBeInAnotherNamespace(t *testing.T) {
	t.Parallel()
	dashboards := 0
	for _, object := range objects(t, render(t, "helm", platform)) {
		if file, ok := object.(*corev1.ConfigMap); ok && strings.Contains(file.Name, "-dashboard-") {
			dashboards++
			if file.Namespace != "monitoring" {
				t.Errorf("%s is in the namespace %s", file.Name, file.Namespace)
			}
		}
	}
	if dashboards == 0 {
		t.Error("no dashboards")
	}
}

// Certificates are mounted in the pods of the service, the mailer and the Job; the broker's are not mounted in the Job.
func TestTLSIsConfiguredByValues(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	const secrets = "/etc/user-service/secrets/"
	database := map[string]string{
		"PGSSLMODE": "verify-full", "PGSSLROOTCERT": secrets + "database-ca.crt",
		"PGSSLCERT": secrets + "database-tls.crt", "PGSSLKEY": secrets + "database-tls.key",
	}
	broker := map[string]string{
		"RABBITMQ_TLS": "true", "RABBITMQ_CA_FILE": secrets + "rabbitmq-ca.crt",
		"RABBITMQ_CERT_FILE": secrets + "rabbitmq-tls.crt", "RABBITMQ_KEY_FILE": secrets + "rabbitmq-tls.key",
	}
	service := find[*appsv1.Deployment](t, all, "user-service").Spec.Template.Spec
	job := find[*batchv1.Job](t, all, "").Spec.Template.Spec
	mailer := mailerOf(t, all).Spec.Template.Spec
	for _, container := range []corev1.Container{service.Containers[0], mailer.Containers[0]} {
		hasEnv(t, container, database)
		hasEnv(t, container, broker)
	}
	for _, container := range []corev1.Container{job.InitContainers[1], job.Containers[0]} {
		hasEnv(t, container, database)
	}
	want := map[string]string{
		"database-ca.crt": "accounts-ca", "database-tls.crt": "accounts-client", "database-tls.key": "accounts-client",
		"rabbitmq-ca.crt": "events-ca", "rabbitmq-tls.crt": "events-client", "rabbitmq-tls.key": "events-client",
	}
	if got := certificates(service); !reflect.DeepEqual(got, want) {
		t.Errorf("the service mounts %v, want %v", got, want)
	}
	want["database-tls.crt"], want["database-tls.key"] = "mailer-client", "mailer-client"
	if got := certificates(mailer); !reflect.DeepEqual(got, want) {
		t.Errorf("the mailer mounts %v, want %v", got, want)
	}
	want = map[string]string{"database-ca.crt": "accounts-ca", "database-tls.crt": "owner-client", "database-tls.key": "owner-client"}
	if got := certificates(job); !reflect.DeepEqual(got, want) {
		t.Errorf("the Job mounts %v, want %v", got, want)
	}
}

func hasEnv(t *testing.T, container corev1.Container, want map[string]string) {
	t.Helper()
	env := map[string]string{}
	for _, variable := range container.Env {
		env[variable.Name] = variable.Value
	}
	for name, value := range want {
		if env[name] != value {
			t.Errorf("%s of %s is %q, want %q", name, container.Name, env[name], value)
		}
	}
}

// certificates returns the Secrets of the certificates and keys in the projected volumes, by file.
func certificates(spec corev1.PodSpec) map[string]string {
	files := map[string]string{}
	for _, volume := range spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			for _, item := range source.Secret.Items {
				if strings.HasSuffix(item.Path, ".crt") || strings.HasSuffix(item.Path, ".key") {
					files[item.Path] = source.Secret.Name
				}
			}
		}
	}
	return files
}

// egress returns the ports of a policy's egress, except those of DNS.
func egress(policy *networkingv1.NetworkPolicy) []int {
	var ports []int
	for _, rule := range policy.Spec.Egress {
		for _, port := range rule.Ports {
			if port.Protocol == nil {
				ports = append(ports, int(port.Port.IntVal))
			}
		}
	}
	return ports
}

func TestThePoliciesFollowTheServers(t *testing.T) {
	t.Parallel()
	all := objects(t, render(t, "helm", platform))
	for name, want := range map[string][]int{"user-service": {6432, 5671}, "-migrate": {5432, 8200}, "-mailer": {6432, 5671, 587, 8200}} {
		if got := egress(find[*networkingv1.NetworkPolicy](t, all, name)); !slices.Equal(got, want) {
			t.Errorf("%s may connect to the ports %v, want %v", name, got, want)
		}
	}
	for url, want := range map[string][]int{
		"postgres://a:b@db/app":                               {5432, 5671},
		"postgres://a:b@[fd00::1]/app":                        {5432, 5671},
		"postgres://a:b@[fd00::1]:5433/app?sslmode=require":   {5433, 5671},
		"postgres://a:b@one:5433,two,[fd00::2]:6432/app":      {5433, 5432, 6432, 5671},
		"postgresql://a:p%40:1@db:7000":                       {7000, 5671},
		"postgres:///app?host=one,two&port=5433,6432":         {5433, 6432, 5671},
		"postgres:///app?user=a&host=fd00::1&port=5433":       {5433, 5671},
		"postgres:///app?host=/var/run/postgresql":            {5671},
		"postgres://a:b@%2Fcloudsql%2Fp:r:i/app":              {5671},
		"postgres:///app?host=%2Fcloudsql%2Fp:r:i&sslmode=no": {5671},
		"postgres://a:b@127.0.0.1:6432/app":                   {5671},
		"postgres://a:b@localhost,db/app":                     {5432, 5671},
	} {
		stream := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--show-only", "templates/networkpolicies.yaml",
			"--set-json", "networkPolicy.enabled=true", "--set-json", `networkPolicy.databaseTo=[{"podSelector": {}}]`,
			"--set-json", `networkPolicy.rabbitmqTo=[{"podSelector": {}}]`, "--set-json", "database.url="+quoted(url))
		if got := egress(find[*networkingv1.NetworkPolicy](t, objects(t, stream), "user-service")); !slices.Equal(got, want) {
			t.Errorf("with the database %s, the service may connect to the ports %v, want %v", url, got, want)
		}
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // strings can be encoded
	return string(text)
}
