package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRolesOfWorkloads(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, with(map[string]string{
		"WORKLOAD_ISSUER": "https://issuer.example/tenant",
		"WORKLOAD_ROLES":  "shop/orders=reader+auditor, spiffe://example.org/ns/shop=reader,arn:aws:iam::1:role/x=y=role.b",
	}))
	roles, err := cfg.Workloads.RolesBySubject()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"system:serviceaccount:shop:orders": {"reader", "auditor"},
		"spiffe://example.org/ns/shop":      {"reader"},
		"arn:aws:iam::1:role/x=y":           {"role.b"},
	}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Errorf("the roles differ (-want +got):\n%s", diff)
	}
}

func TestProblemsOfWorkloads(t *testing.T) {
	t.Parallel()
	issuer := map[string]string{"WORKLOAD_ISSUER": "https://issuer.example", "JWT_ISSUER": "https://accounts.example"}
	for _, c := range []struct{ name, value, want string }{
		{"WORKLOAD_ISSUER", "http://issuer.example", "is not an https URL"},
		{"WORKLOAD_ISSUER", "http://localhost:8080", "is not an https URL"},
		{"WORKLOAD_ISSUER", "https://user@issuer.example", "is not an https URL"},
		{"WORKLOAD_ISSUER", "https://issuer.example?tenant=1", "is not an https URL"},
		{"WORKLOAD_ISSUER", "https://issuer.example#x", "is not an https URL"},
		{"WORKLOAD_ISSUER", "issuer.example", "is not an https URL"},
		{"WORKLOAD_ISSUER", "https://accounts.example", "is the same as JWT_ISSUER"},
		{"WORKLOAD_ISSUER", "", "is set, and WORKLOAD_ISSUER is not"}, // reported for WORKLOAD_ROLES
		{"WORKLOAD_JWKS_URL", "http://issuer.example/keys", "is not an https URL"},
		{"WORKLOAD_CA_FILE", "/does/not/exist", "can't be read"},
		{"WORKLOAD_TOKEN_FILE", "/does/not/exist", "can't be read"},
		{"WORKLOAD_ROLES", "orders=reader", "neither namespace/serviceaccount nor a sub with a colon"},
		{"WORKLOAD_ROLES", "shop/orders/x=reader", "neither namespace/serviceaccount nor a sub with a colon"},
		{"WORKLOAD_ROLES", "Shop/orders=reader", "neither namespace/serviceaccount nor a sub with a colon"},
		{"WORKLOAD_ROLES", "shop/orders", "an entry without ="},
		{"WORKLOAD_ROLES", "shop/orders=reader,", "an entry without ="},
		{"WORKLOAD_ROLES", "shop/orders=", "not names of roles"},
		{"WORKLOAD_ROLES", "shop/orders=reader+", "not names of roles"},
		{"WORKLOAD_ROLES", "shop/orders=Reader", "not names of roles"},
		{"WORKLOAD_ROLES", "shop/orders=a,system:serviceaccount:shop:orders=b", "names a workload twice"},
		{"WORKLOAD_ROLES", "spiffe://example.org/a b=reader", "visible ASCII"},
		{"WORKLOAD_ROLES", "spiffe://" + strings.Repeat("x", 2048) + "=reader", "visible ASCII"},
	} {
		env := with(issuer)
		env["WORKLOAD_ROLES"] = "shop/orders=reader"
		env[c.name] = c.value
		if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%.60s: the error is %v, want %q in it", c.name, c.value, err, c.want)
		}
	}
}
