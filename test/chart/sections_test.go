package chart_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
)

// removable are the sections that null removes from the objects.
var removable = []string{
	"replicaCount", "resources", "startupProbe", "livenessProbe", "podSecurityContext", "containerSecurityContext", "migration.resources",
	"autoscaling.behavior", "mailer.replicaCount", "mailer.resources",
}

// Null counts as an omitted value. All sections are tested together, and then their members.
func TestNullCountsAsOmitted(t *testing.T) {
	t.Parallel()
	const values = chart + "/ci/existing-secrets-values.yaml"
	given := parse[map[string]any](t, read(t, values))
	defaults := parse[map[string]any](t, read(t, chart+"/values.yaml"))
	var sections, members []string
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		if _, isGiven := given[name]; isGiven || slices.Contains(removable, name) {
			continue
		}
		sections = append(sections, name+"=null")
		section, _ := defaults[name].(map[string]any)
		for _, member := range slices.Sorted(maps.Keys(section)) {
			if path := name + "." + member; !slices.Contains(removable, path) && name != "readinessProbe" && name != "strategy" {
				members = append(members, path+"=null")
			}
		}
	}
	want := noBlankLines(render(t, "helm", values))
	for _, helm := range []string{"helm", "helm3"} {
		for _, set := range [][]string{sections, members} {
			args := slices.Concat([]string{"template", "accounts", chart, "--values", values}, apis,
				[]string{"--set", strings.Join(set, ",")})
			if got := noBlankLines(run(t, nil, helm, args...)); got != want {
				t.Errorf("%s renders other objects with %s", helm, strings.Join(set, ","))
			}
		}
	}
}

func TestNullRemovesFieldsOfKubernetes(t *testing.T) {
	t.Parallel()
	stream := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", strings.Join(removable, "=null,")+"=null")
	spec := find[*appsv1.Deployment](t, objects(t, stream), "user-service").Spec
	container := spec.Template.Spec.Containers[0]
	if spec.Replicas != nil || len(container.Resources.Limits) > 0 || container.LivenessProbe != nil || container.StartupProbe != nil ||
		spec.Template.Spec.SecurityContext.RunAsNonRoot != nil || container.SecurityContext.ReadOnlyRootFilesystem != nil {
		t.Errorf("null leaves fields: %+v", spec)
	}
	if container.ReadinessProbe == nil {
		t.Error("the pods have no readiness probe, on which the migration depends")
	}
}

// Helm's --set turns a fraction into a text.
func TestThresholdsMayBeTexts(t *testing.T) {
	t.Parallel()
	set := "prometheusRule.enabled=true,prometheusRule.thresholds.latencySeconds=0.5,prometheusRule.thresholds.availabilityPercent=99.5"
	got := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", set)
	want := run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set-json", "prometheusRule.enabled=true",
		"--set-json", "prometheusRule.thresholds.latencySeconds=0.5", "--set-json", "prometheusRule.thresholds.availabilityPercent=99.5")
	if got != want || !strings.Contains(got, `le=~"0.5(\\.0)?"`) {
		t.Errorf("the fractions of --set make other rules:\n%s", got)
	}
}

// The values of a parent chart can remove a section with null, and can turn off the whole chart by its condition.
func TestAParentChartSwitchesTheChart(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	write(t, filepath.Join(parent, "Chart.yaml"), `{apiVersion: v2, name: platform, version: 0.1.0,
		dependencies: [{name: user-service, version: 0.1.0, condition: user-service.enabled}]}`)
	write(t, filepath.Join(parent, "values.yaml"), `{global: {imageRegistry: registry.example.com, imagePullSecrets: [shared]},
		user-service: {database: {existingSecret: a}, rabbitmq: {existingSecret: b}, jwt: {existingSecret: c}, livenessProbe: null,
		migration: null}}`)
	if err := os.CopyFS(filepath.Join(parent, "charts", "user-service"), os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	for _, helm := range []string{"helm", "helm3"} {
		spec := find[*appsv1.Deployment](t,
			objects(t, run(t, nil, helm, "template", "accounts", parent, "--set", "user-service.enabled=true")),
			"user-service").Spec.Template.Spec
		same(t, "the pod", spec, `{"imagePullSecrets": [{"name": "shared"}]}`)
		if image := spec.Containers[0].Image; image != "registry.example.com/user-service/user-service:0.1.0" {
			t.Errorf("%s: the image is %s", helm, image)
		}
		if out := run(t, nil, helm, "template", "accounts", parent, "--set", "user-service.enabled=false"); strings.TrimSpace(out) != "" {
			t.Errorf("%s renders a disabled chart:\n%s", helm, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheRegistryReplacesThatOfEachImage(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"postgres:17":                   "r.example.com:5000/mirror/postgres:17",
		"docker.io/library/postgres:17": "r.example.com:5000/mirror/library/postgres:17",
		"localhost/postgres:17":         "r.example.com:5000/mirror/postgres:17",
		"team/postgres:17":              "r.example.com:5000/mirror/team/postgres:17",
	} {
		stream := run(t, nil, "helm", "template", "accounts", chart, "--values", chart+"/ci/quickstart-values.yaml", "--set",
			"global.imageRegistry=r.example.com:5000/mirror/,global.imagePullSecrets={shared},podSecurityContext.runAsUser=null,"+
				"quickstart.postgresql.image="+image)
		spec := find[*appsv1.StatefulSet](t, objects(t, stream), "-postgresql").Spec.Template.Spec
		if got := spec.Containers[0].Image; got != want {
			t.Errorf("the image %s is pulled as %s, want %s", image, got, want)
		}
		same(t, "the pod", spec, `{"imagePullSecrets": [{"name": "shared"}]}`)
		if context := spec.SecurityContext; context.RunAsUser != nil || *context.FSGroup != 999 {
			t.Errorf("the security context of the quickstart is %+v", context)
		}
	}
}

// Long names with the same beginning differ, and each name is a DNS label that begins with a letter, as Services need it.
func TestNamesAreLabelsAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, release := range []string{
		"accounts", "user-service", "my-user-service-2", "7", "a.b", "a-b",
		strings.Repeat("long-release-name-", 2) + "alpha", strings.Repeat("long-release-name-", 2) + "alphb",
		strings.Repeat("x", 53), strings.Repeat("x", 52) + "y", "identity.user-service.example",
	} {
		stream := run(t, nil, "helm", "template", release, chart, "--values", chart+"/ci/quickstart-values.yaml",
			"--set", "dashboards.enabled=true")
		for _, object := range objects(t, stream) {
			named, ok := object.(interface{ GetName() string })
			if !ok {
				continue
			}
			name := named.GetName()
			if problems := apivalidation.IsDNS1035Label(name); len(problems) > 0 {
				t.Errorf("%s: %s: %v", release, name, problems)
			}
			key := fmt.Sprintf("%T %s", object, name)
			if other, taken := seen[key]; taken && other != release {
				t.Errorf("%s has the name %s, and so does %s", release, name, other)
			}
			seen[key] = release
		}
	}
}

// A sidecar such as Vault's agent writes the secrets, so no Secret is needed.
func TestSecretsMayBeFilesOfASidecar(t *testing.T) {
	t.Parallel()
	stream := run(t, nil, "helm", "template", "accounts", chart, "--set", "rabbitmq.host=mq,rabbitmq.user=app,"+
		"secretFiles.DATABASE_URL=/vault/url,secretFiles.RABBITMQ_PASS=/vault/mq,secretFiles.JWT_SECRET=/vault/jwt,"+
		"secretFiles.JWT_PRIVATE_KEY=/vault/key")
	all := objects(t, stream)
	for _, object := range all {
		if secret, ok := object.(*corev1.Secret); ok {
			t.Errorf("the chart renders the Secret %s", secret.Name)
		}
	}
	spec := find[*appsv1.Deployment](t, all, "user-service").Spec.Template.Spec
	hasEnv(t, spec.Containers[0], map[string]string{
		"DATABASE_URL_FILE": "/vault/url", "RABBITMQ_PASS_FILE": "/vault/mq", "JWT_SECRET_FILE": "/vault/jwt",
		"JWT_PRIVATE_KEY_FILE": "/vault/key",
	})
	if len(spec.Volumes) > 0 {
		t.Errorf("the volumes are %+v", spec.Volumes)
	}
}

// The mailer uses the file of the service with the database URL, unless it has a file or a Secret of its own.
func TestSecretsOfTheMailerMayBeFiles(t *testing.T) {
	t.Parallel()
	args := []string{
		"template", "accounts", chart, "--set", strings.ReplaceAll(mailer, ".existingSecret=mailer", ".user=mailer") +
			"mailer.smtp.existingSecret=,mailer.secretFiles.SMTP_URL=/vault/smtp,mailer.secretFiles.RABBITMQ_PASS=/vault/mailer," +
			"rabbitmq.host=mq,rabbitmq.user=app,secretFiles.DATABASE_URL=/vault/url,secretFiles.RABBITMQ_PASS=/vault/mq," +
			"secretFiles.JWT_SECRET=/vault/jwt",
	}
	spec := mailerOf(t, objects(t, run(t, nil, "helm", args...))).Spec.Template.Spec
	hasEnv(t, spec.Containers[0], map[string]string{
		"DATABASE_URL_FILE": "/vault/url", "RABBITMQ_PASS_FILE": "/vault/mailer", "RABBITMQ_USER": "mailer", "RABBITMQ_HOST": "mq",
		"SMTP_URL_FILE": "/vault/smtp",
	})
	if len(spec.Volumes) > 0 {
		t.Errorf("the volumes are %+v", spec.Volumes)
	}

	args = append(args, "--set", "mailer.secretFiles.DATABASE_URL=/vault/role")
	spec = mailerOf(t, objects(t, run(t, nil, "helm", args...))).Spec.Template.Spec
	hasEnv(t, spec.Containers[0], map[string]string{"DATABASE_URL_FILE": "/vault/role"})

	args = append(args, "--set", "mailer.secretFiles.DATABASE_URL=,mailer.database.existingSecret=role")
	spec = mailerOf(t, objects(t, run(t, nil, "helm", args...))).Spec.Template.Spec
	hasEnv(t, spec.Containers[0], map[string]string{"DATABASE_URL_FILE": "/etc/user-service/secrets/database-url"})
	same(t, "the volume", spec.Volumes[0], `{"name": "secrets"}`)
}

// The output of an installation names what is enabled, and the next step.
func TestTheNotesKnowWhatIsEnabled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values    string
		set       string
		has, lack []string
	}{
		"a first look": {"quickstart", "image.tag=v1", []string{
			"port-forward", "http://localhost:8080/register", "Never use this in production",
			"- Create a first admin", "Not enabled: http://",
			"- For production, set database.existingSecret",
		}, []string{"alerts are silent"}},
		"an Ingress": {"everything", "config.REGISTRATION_ENABLED=false,config.DOCS_ENABLED=false", []string{
			"curl https://users.example.com/.well-known/jwks.json", "REGISTRATION_ENABLED is false", "ServiceMonitor accounts-user-service",
			"spec.serviceMonitorSelector", "spec.ruleSelector", "The first admin's email",
		}, []string{"port-forward", "/register", "/docs", "Create a first admin", "alerts are silent", "TRUSTED_PROXIES", "No mailer"}},
		"rules without a monitor": {"existing-secrets", "prometheusRule.enabled=true,service.type=LoadBalancer", []string{
			"The alerts are silent until Prometheus scrapes the Service accounts-user-service-metrics", "address=$(",
			"http://$address/register",
			"set config.TRUSTED_PROXIES", "No mailer runs: set mailer.enabled",
		}, []string{"port-forward"}},
	} {
		out := run(t, nil, "helm", "install", "accounts", chart, "--dry-run=client", "--values", chart+"/ci/"+c.values+"-values.yaml",
			"--set", c.set)
		_, notes, _ := strings.Cut(out, "NOTES:")
		for _, text := range c.has {
			if !strings.Contains(notes, text) {
				t.Errorf("%s: the notes lack %q:\n%s", name, text, notes)
			}
		}
		for _, text := range c.lack {
			if strings.Contains(notes, text) {
				t.Errorf("%s: the notes have %q:\n%s", name, text, notes)
			}
		}
	}
}
