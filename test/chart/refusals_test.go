package chart_test

import (
	"strings"
	"testing"
)

// base are values that work, for the bad ones to be set on top.
const base = chart + "/ci/values-values.yaml"

// refusals are values that can't work. A line of the answer begins with say; the rest of it
// tells what to do.
var refusals = []struct{ name, set, say string }{
	// Two sources, or none.
	{"no database", "database.url=", "No database: set database.existingSecret"},
	{"two databases", "database.existingSecret=db-app", "database.url and database.existingSecret are both set: leave one"},
	{"no broker", "rabbitmq.password=", "No broker: set rabbitmq.existingSecret"},
	{"two brokers", "rabbitmq.existingSecret=mq", "rabbitmq.password and rabbitmq.existingSecret are both set: leave one"},
	{"a broker without host", "rabbitmq.host=", "rabbitmq.password is set: set rabbitmq.host"},
	{"two JWT secrets", "jwt.existingSecret=keys,jwt.acceptedSecrets=", "jwt.secret and jwt.existingSecret are both set: leave one"},
	{"accepted secrets beside a Secret", "jwt.existingSecret=keys,jwt.secret=", "jwt.acceptedSecrets goes with jwt.secret: put"},
	{"a key's name without a Secret", "jwt.keys.privateKey=key", "jwt.keys.privateKey and jwt.keys.acceptedKeys name keys of jwt.existingSecret, which is empty: set it"},
	{"a JWT secret that no cluster can keep", "jwt.secret=", "No cluster answers here"},
	{"a password without an admin", "admin.existingSecret=first", "admin.existingSecret has the password of the first admin: set admin.email"},
	{"an admin without a migration", "admin.email=ada@example.com", "admin.email needs the migration Job"},
	{"quickstart with a database", "quickstart.enabled=true", "quickstart.enabled brings a database of its own: leave database.url"},
	{"quickstart with a broker", "quickstart.enabled=true,database.url=", "quickstart.enabled brings a broker of its own: leave rabbitmq.host"},

	// Values that the service would not start with.
	{"a short JWT secret", "jwt.secret=short", "jwt.secret has 5 characters: use at least 32"},
	{"another database", "database.url=mysql://db/app", "database.url is no PostgreSQL URL: write it as postgres://"},
	{"a variable of the chart", "config.DATABASE_URL=x", "config.DATABASE_URL is set by the chart: use database instead"},
	{"a file of the chart", "config.JWT_SECRET_FILE=x", "config.JWT_SECRET_FILE is set by the chart: use jwt instead"},
	{"a variable of the chart in extraEnv", "extraEnv[0].name=RABBITMQ_PASS,extraEnv[0].value=x", "extraEnv has RABBITMQ_PASS, which is set by the chart: use rabbitmq"},
	{"a variable twice", "extraEnv[0].name=LOG_LEVEL,extraEnv[0].value=x", "LOG_LEVEL is in config and in extraEnv: leave one"},
	{"a variable in lower case", "config.log_level=debug", "at '/config': additional properties 'log_level' not allowed"},
	{"a variable that is a list", "config.TRUSTED_PROXIES={a,b}", "at '/config/TRUSTED_PROXIES': got array, want boolean or number or string"},

	// Pods that would be killed, or not scale.
	{"a grace period shorter than the drain", "terminationGracePeriodSeconds=20", "terminationGracePeriodSeconds is 20, shorter than the shutdown of 30"},
	{"a shutdown without a unit", "config.SHUTDOWN_TIMEOUT=25", "config.SHUTDOWN_TIMEOUT is 25, which is no duration: write it with its unit"},
	{"as many hashes as the node has CPUs", "config.PASSWORD_HASH_CONCURRENCY=null", "config.PASSWORD_HASH_CONCURRENCY is empty"},
	{"more hashes than the memory holds", "config.PASSWORD_HASH_CONCURRENCY=20", "resources.limits.memory is 256Mi, and the hashes need 463Mi"},
	{"larger hashes than the memory holds", "config.ARGON2_MEMORY_KIB=131072", "resources.limits.memory is 256Mi, and the hashes need 448Mi"},
	{"a small memory limit", "resources.limits.memory=64Mi", "resources.limits.memory is 64Mi, and the hashes need 121Mi"},
	{"fewer pods at most than at least", "autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=3", "autoscaling.minReplicas is 5, more than maxReplicas, 3: change one"},
	{"autoscaling without a request", "autoscaling.enabled=true,resources.requests.cpu=null", "autoscaling looks at the CPU in percent of the request: set resources.requests.cpu"},

	// Ways in that lead nowhere.
	{"an Ingress without a host", "ingress.enabled=true", "ingress.enabled needs ingress.hosts: set"},
	{"metrics for everybody", "ingress.enabled=true,ingress.hosts={a.example.com},ingress.path=/metrics", "ingress.path is that of the metrics"},
	{"an HTTPRoute without a Gateway", "httpRoute.enabled=true", "httpRoute.enabled needs httpRoute.parentRefs: set"},
	{"one port for two", "service.port=9090", "service.port and service.metricsPort are the same: change one"},

	// What is wrong in itself.
	{"a value that is misspelled", "serviceMonitr.enabled=true", "at '': additional properties 'serviceMonitr' not allowed"},
	{"a member that is misspelled", "image.repo=x", "at '/image': additional properties 'repo' not allowed"},
	{"a number that is none", "replicaCount=two", "at '/replicaCount': got string, want integer"},
	{"a negative number of pods", "replicaCount=-1", "at '/replicaCount': minimum: got -1, want 0"},
	{"a switch that is neither on nor off", "autoscaling.enabled=yes", "at '/autoscaling/enabled': got string, want boolean"},
	{"an unknown pull policy", "image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"},
	{"an unknown type of Service", "service.type=Internal", "at '/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"},
	{"a tag that is none", "image.tag=a:b", "at '/image/tag': 'a:b' does not match pattern"},
	{"a digest that is none", "image.digest=sha256:abc", "at '/image/digest': 'sha256:abc' does not match pattern"},
	{"a repository with a tag", "image.repository=ghcr.io/user-service/user-service:1", "at '/image/repository': 'ghcr.io/user-service/user-service:1' does not match pattern"},
	{"memory without a unit that exists", "resources.limits.memory=256MB", "at '/resources/limits/memory': '256MB' does not match pattern"},
	{"a port that is none", "service.port=70000", "at '/service/port': maximum: got 70,000, want 65,535"},
	{"a name in capitals", "fullnameOverride=Users", "at '/fullnameOverride': 'Users' does not match pattern"},
	{"an email that is none", "admin.email=ada,migration.enabled=true", "at '/admin/email': 'ada' does not match pattern"},
}

func TestBadValuesAreRefusedInOneLineThatSaysWhatToChange(t *testing.T) {
	t.Parallel()
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			out, message, err := try(nil, "helm", "template", "accounts", chart, "--values", base, "--set", refusal.set)
			if err == nil {
				t.Fatalf("it renders %d bytes", len(out))
			}
			lines := complaints(message)
			if len(lines) != 1 || !strings.HasPrefix(lines[0], refusal.say) {
				t.Errorf("the complaint should begin with\n%s\nand is\n%s\nin\n%s", refusal.say, strings.Join(lines, "\n"), message)
			}
		})
	}
}

// A cluster of that age would drop preStop.sleep without a word. What says no version, as a Helm 3 from go install
// without a cluster, renders.
func TestAnOldClusterIsRefused(t *testing.T) {
	t.Parallel()
	for _, helm := range []string{"helm", "helm3"} {
		for version, refused := range map[string]bool{"1.29.14": true, "1.30.0": false, "1.33.1-gke.100": false} {
			_, message, err := try(nil, helm, "template", "accounts", chart, "--values", base, "--kube-version", version)
			if (err != nil) != refused || refused && !strings.Contains(message, "This cluster is Kubernetes v1.29.14") {
				t.Errorf("%s on %s: %v %s", helm, version, err, message)
			}
		}
	}
}

// complaints drops what Helm says around them.
func complaints(message string) []string {
	var lines []string
	for line := range strings.Lines(message) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		switch {
		case line == "", line == "user-service:", strings.HasPrefix(line, "Error: "), strings.HasPrefix(line, "Use --debug"),
			strings.HasPrefix(line, "level="): // warnings about null
		default:
			lines = append(lines, line)
		}
	}
	return lines
}
