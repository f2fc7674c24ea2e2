package main

import (
	"strings"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/workload/workloadtest"
)

// TestServeAcceptsTheTokensOfWorkloads runs a replica with an issuer. The keys are fetched with the service's own token.
func TestServeAcceptsTheTokensOfWorkloads(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	env := replicaEnvironment(t)
	env["WORKLOAD_ISSUER"], env["WORKLOAD_CA_FILE"] = issuer.URL, issuer.CAFile
	env["WORKLOAD_TOKEN_FILE"] = workloadtest.WriteToken(t, "own")
	env["WORKLOAD_ROLES"] = "shop/orders=admin"
	r := startReplica(t, env, nil)
	testkit.WaitFor(t, "a fetch of the keys", func() bool { return len(issuer.Requests(workloadtest.KeysPath)) > 0 })
	if got := issuer.Requests(workloadtest.KeysPath)[0].Header.Get("Authorization"); got != "Bearer own" {
		t.Errorf("the keys were fetched with Authorization %q, want Bearer own", got)
	}
	for sub, want := range map[string]int{workloadtest.Subject: 200, "system:serviceaccount:shop:other": 403} {
		if status, err := r.call("GET", "/users", issuer.Token(t, map[string]any{"sub": sub}), nil, nil); err != nil || status != want {
			t.Errorf("%s: status is %d (error %v), want %d", sub, status, err, want)
		}
	}
	if strings.Contains(r.log.String(), "Bearer") {
		t.Errorf("the log contains a token: %s", r.log)
	}
}
