package chart_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func TestEveryPodIsRestricted(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		if restricted(t, []byte(render(t, "helm", files...))) == 0 {
			t.Error("the chart renders no pod")
		}
	})
	pods := 0
	for _, file := range manifests(t) {
		pods += restricted(t, read(t, file))
	}
	if pods != 8 {
		t.Errorf("k8s has %d pods, want 8", pods)
	}
}

// restricted checks the pods of a stream against the Pod Security Standard restricted, and returns their number.
func restricted(t *testing.T, stream []byte) int {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	pods := 0
	for _, document := range documents(t, stream) {
		meta, spec := pod(decodes(t, document))
		if spec == nil {
			continue
		}
		pods++
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, meta, spec))
		if !result.Allowed {
			t.Errorf("%s in:\n%s", result.ForbiddenDetail(), document)
		}
		if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
			t.Errorf("service links are enabled in:\n%s", document)
		}
	}
	return pods
}

func pod(object runtime.Object) (*metav1.ObjectMeta, *corev1.PodSpec) {
	switch object := object.(type) {
	case *corev1.Pod:
		return &object.ObjectMeta, &object.Spec
	case *appsv1.Deployment:
		return &object.Spec.Template.ObjectMeta, &object.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &object.Spec.Template.ObjectMeta, &object.Spec.Template.Spec
	case *batchv1.Job:
		return &object.Spec.Template.ObjectMeta, &object.Spec.Template.Spec
	}
	return nil, nil
}
