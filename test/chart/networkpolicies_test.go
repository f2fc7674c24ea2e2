package chart_test

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Each policy names the peers and ports of outgoing traffic. A policy applies to each pod of the chart in both directions.
func TestPoliciesAllowNamedPeersAndPortsOnly(t *testing.T) {
	t.Parallel()
	eachValues(t, func(t *testing.T, files ...string) {
		var policies []*networkingv1.NetworkPolicy
		var pods []*metav1.ObjectMeta
		for _, document := range documents(t, []byte(render(t, "helm", files...))) {
			object := decodes(t, document)
			if policy, ok := object.(*networkingv1.NetworkPolicy); ok {
				policies = append(policies, policy)
			}
			if meta, _ := pod(object); meta != nil {
				pods = append(pods, meta)
			}
		}
		for _, policy := range policies {
			narrow(t, policy)
		}
		for _, meta := range pods {
			if len(policies) > 0 && !bound(t, meta, policies) {
				t.Errorf("no policy selects the pods with the labels %v", meta.Labels)
			}
		}
	})
}

func narrow(t *testing.T, policy *networkingv1.NetworkPolicy) {
	t.Helper()
	for _, rule := range policy.Spec.Egress {
		if len(rule.Ports) == 0 || len(rule.To) == 0 {
			t.Errorf("%s allows traffic to any port or any address: %+v", policy.Name, rule)
		}
		for _, peer := range rule.To {
			if peer.IPBlock == nil && peer.PodSelector == nil && len(peer.NamespaceSelector.MatchLabels) == 0 {
				t.Errorf("%s allows traffic to every namespace", policy.Name)
			}
		}
	}
	for _, rule := range policy.Spec.Ingress {
		api := len(rule.Ports) == 1 && rule.Ports[0].Port.StrVal == "http"
		if len(rule.Ports) == 0 || len(rule.From) == 0 && !api {
			t.Errorf("%s allows traffic from anywhere to other ports than the API: %+v", policy.Name, rule)
		}
	}
}

func bound(t *testing.T, meta *metav1.ObjectMeta, policies []*networkingv1.NetworkPolicy) bool {
	t.Helper()
	for _, policy := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			t.Fatal(err)
		}
		if selector.Matches(labels.Set(meta.Labels)) && len(policy.Spec.PolicyTypes) == 2 {
			return true
		}
	}
	return false
}

// Port 53 can leak data, unless its peer is the cluster's DNS.
func TestPort53IsOnlyForTheClustersDNS(t *testing.T) {
	t.Parallel()
	stream := run(t, nil, "helm", "template", "accounts", chart, "--values", chart+"/ci/quickstart-values.yaml")
	want := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
	}}
	found := 0
	for _, document := range documents(t, []byte(stream)) {
		policy, ok := decodes(t, document).(*networkingv1.NetworkPolicy)
		if !ok {
			continue
		}
		for _, rule := range policy.Spec.Egress {
			if !dns(rule.Ports) {
				continue
			}
			found++
			if !reflect.DeepEqual(rule.To, want) {
				t.Errorf("%s allows DNS to %+v", policy.Name, rule.To)
			}
		}
	}
	if found != 4 {
		t.Errorf("%d policies allow DNS, want the policies of the service, the migration, the mailer and the test", found)
	}
}

func dns(ports []networkingv1.NetworkPolicyPort) bool {
	for _, port := range ports {
		if port.Port.IntVal == 53 && *port.Protocol == corev1.ProtocolUDP {
			return true
		}
	}
	return false
}
