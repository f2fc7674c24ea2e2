package chart_test

import (
	"reflect"
	"strings"
	"testing"
)

// Users copy these files, so each file contains all values, and the values of all files must be the same.
func TestArgoCDAndFluxInstallTheProductionValues(t *testing.T) {
	t.Parallel()
	want := parse[map[string]any](t, read(t, production+"values.yaml"))

	release := parse[struct {
		Spec struct{ Values map[string]any }
	}](t, documents(t, read(t, production+"flux.yaml"))[1])
	if !reflect.DeepEqual(release.Spec.Values, want) {
		t.Errorf("flux.yaml has the values\n%v\nand values.yaml\n%v", release.Spec.Values, want)
	}

	application := parse[struct {
		Spec struct {
			Source struct {
				Helm struct{ ValuesObject map[string]any }
			}
		}
	}](t, read(t, production+"argocd.yaml"))
	got := application.Spec.Source.Helm.ValuesObject
	delete(got, "test") // Argo CD does not run it
	if !reflect.DeepEqual(got, want) {
		t.Errorf("argocd.yaml has the values\n%v\nand values.yaml\n%v", got, want)
	}
}

func TestTheSecretsOfTheOperatorsFit(t *testing.T) {
	t.Parallel()
	deployments := ""
	for _, document := range documents(t, []byte(render(t, "helm", production+"values.yaml"))) {
		if object := parse[struct{ Kind string }](t, document); object.Kind == "Deployment" {
			deployments += string(document)
		}
		if object := parse[struct{ Kind string }](t, document); object.Kind == "Secret" {
			t.Errorf("the chart renders an additional Secret:\n%s", document)
		}
	}
	for _, name := range []string{
		"user-service-db-app", "key: uri",
		"user-service-mq-default-user", "key: host", "key: port", "key: username", "key: password",
		"user-service-jwt", "key: jwt-secret", "key: jwt-accepted-secrets",
		"user-service-mail", "key: smtp-url",
	} {
		if !strings.Contains(strings.NewReplacer("{", "", "}", "", ",", "", `"`, "").Replace(deployments), name) {
			t.Errorf("the Deployments have no %s:\n%s", name, deployments)
		}
	}
}

// TestBehindThePoolerMigrationsReachTheDatabaseDirectly covers statements outside of transactions. They need a session, which a pooler in
// transaction mode does not keep.
func TestBehindThePoolerMigrationsReachTheDatabaseDirectly(t *testing.T) {
	t.Parallel()
	objects := render(t, "helm", production+"values.yaml", production+"values-pooler.yaml")
	for _, document := range documents(t, []byte(objects)) {
		kind := parse[struct{ Kind string }](t, document).Kind
		pooled, direct := strings.Contains(string(document), "user-service-db-pooled"),
			strings.Contains(string(document), "user-service-db-app")
		if kind == "Job" && (pooled || !direct) || kind == "Deployment" && (!pooled || direct) {
			t.Errorf("the %s has the Secret of the pooler: %v, and of the database: %v", kind, pooled, direct)
		}
	}
}
