package chart_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// manifest is the part of the objects in k8s/production that refers to other objects.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		SecretName string
		TLS        struct{ SecretName string }
		DNSNames   []string `json:"dnsNames"`
		Cluster    struct{ Name string }
		Plugins    []plugin
		Bootstrap  struct{ Recovery struct{ Source string } }
		External   []struct {
			Name   string
			Plugin plugin
		} `json:"externalClusters"`
		Certificates struct{ ServerAltDNSNames []string }
		ImageName    string
	}
}

type plugin struct {
	Name       string
	Parameters struct{ BarmanObjectName, ServerName string }
}

// productionManifest returns an object of k8s/production by kind and name.
func productionManifest(t *testing.T, kind, name string) manifest {
	t.Helper()
	files, err := filepath.Glob(production + "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, document := range documents(t, read(t, file)) {
			if head := parse[struct {
				Kind     string
				Metadata struct{ Name string }
			}](t, document); head.Kind == kind && head.Metadata.Name == name {
				return parse[manifest](t, document)
			}
		}
	}
	t.Fatalf("k8s/production has no %s %s", kind, name)
	return manifest{}
}

func TestTheBackupsAreOfTheCluster(t *testing.T) {
	t.Parallel()
	cluster := productionManifest(t, "Cluster", "user-service-db")
	store := productionManifest(t, "ObjectStore", "user-service-db")
	if backup := productionManifest(t, "ScheduledBackup", "user-service-db"); backup.Spec.Cluster.Name != cluster.Metadata.Name {
		t.Errorf("the ScheduledBackup is of %s, want %s", backup.Spec.Cluster.Name, cluster.Metadata.Name)
	}
	if p := cluster.Spec.Plugins; len(p) != 1 || p[0].Parameters.BarmanObjectName != store.Metadata.Name {
		t.Errorf("the cluster archives by %+v, want the ObjectStore %s", p, store.Metadata.Name)
	}
}

// TestTheRecoveryReadsTheBackups checks that a restored cluster reads the archive of the first cluster, and writes its own.
func TestTheRecoveryReadsTheBackups(t *testing.T) {
	t.Parallel()
	first, restored := productionManifest(t, "Cluster", "user-service-db"), productionManifest(t, "Cluster", "user-service-db-restored")
	source := restored.Spec.External
	if len(source) != 1 || source[0].Name != restored.Spec.Bootstrap.Recovery.Source ||
		source[0].Plugin.Parameters.ServerName != first.Metadata.Name ||
		source[0].Plugin.Parameters.BarmanObjectName != first.Spec.Plugins[0].Parameters.BarmanObjectName {
		t.Errorf("the recovery reads %+v, want the archive of %s", source, first.Metadata.Name)
	}
	if p := restored.Spec.Plugins; len(p) != 1 || p[0].Parameters.ServerName != restored.Metadata.Name {
		t.Errorf("the restored cluster archives by %+v, want its own name", p)
	}
	if first.Spec.ImageName != restored.Spec.ImageName {
		t.Errorf("the images are %s and %s, want the same", first.Spec.ImageName, restored.Spec.ImageName)
	}
}

// TestTheCertificatesOfProductionFit checks that the certificates have the host names to which the service connects.
func TestTheCertificatesOfProductionFit(t *testing.T) {
	t.Parallel()
	values := parse[struct {
		Database, RabbitMQ struct {
			TLS struct{ Mode, CASecret string }
		}
	}](t, read(t, production+"values.yaml"))
	broker, certificate := productionManifest(t, "RabbitmqCluster", "user-service-mq"), productionManifest(t, "Certificate",
		"user-service-mq-tls")
	if names := []string{broker.Spec.TLS.SecretName, certificate.Spec.SecretName}; names[0] != names[1] ||
		names[0] != values.RabbitMQ.TLS.CASecret {
		t.Errorf("the broker uses the Secret %s, the certificate is in %s, and the chart reads %s", names[0], names[1],
			values.RabbitMQ.TLS.CASecret)
	}
	// The operator's Secret has this host.
	if want := "user-service-mq.user-service.svc"; !slices.Contains(certificate.Spec.DNSNames, want) {
		t.Errorf("the certificate of the broker has the names %v, want %s", certificate.Spec.DNSNames, want)
	}
	if want := productionManifest(t, "Cluster", "user-service-db").Metadata.Name + "-ca"; values.Database.TLS.CASecret != want {
		t.Errorf("the chart reads the authorities of the database in %s, want %s", values.Database.TLS.CASecret, want)
	}
	pooler := regexp.MustCompile(`@([\w.-]+):5432/`).FindSubmatch(read(t, production+"pooler.yaml"))
	if pooler == nil || !slices.Contains(productionManifest(t, "Cluster", "user-service-db").Spec.Certificates.ServerAltDNSNames,
		string(pooler[1])) {
		t.Errorf("the certificate of the cluster does not have the name of the pooler, %s", pooler)
	}
	if values.Database.TLS.Mode != "verify-full" || values.RabbitMQ.TLS.Mode != "verify-full" {
		t.Errorf("the modes of TLS are %+v, want verify-full", values)
	}
}

// TestPoliciesAndBudgetsOfProductionSelectPods compares selectors with the labels that the operators give to their pods. Without a match, a
// policy or a budget has no effect.
func TestPoliciesAndBudgetsOfProductionSelectPods(t *testing.T) {
	t.Parallel()
	pods := map[string][]string{
		"cnpg.io/cluster": {"user-service-db"}, "cnpg.io/poolerName": {"user-service-db-pooler"},
		"app.kubernetes.io/name": {"user-service-mq"},
	}
	found := 0
	for _, file := range manifests(t) {
		for _, document := range documents(t, read(t, file)) {
			var labels map[string]string
			switch object := decodes(t, document).(type) {
			case *networkingv1.NetworkPolicy:
				labels = object.Spec.PodSelector.MatchLabels
			case *policyv1.PodDisruptionBudget:
				labels = object.Spec.Selector.MatchLabels
			default:
				continue
			}
			found++
			for key, value := range labels {
				if !slices.Contains(pods[key], value) {
					t.Errorf("%s selects %s=%s, which no pod has", file, key, value)
				}
			}
		}
	}
	if found != 5 {
		t.Errorf("k8s/production has %d policies and budgets, want 5", found)
	}
}
