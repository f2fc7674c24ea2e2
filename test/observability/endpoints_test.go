//go:build alerts

package observability_test

import (
	"net/http"
	"strings"
	"time"

	"user-service/internal/testkit"
)

// probePeriod is the kubelet's period of readiness probes, shortened as the rules are.
const probePeriod = 10 * time.Second / hurry

// behindEndpoints sends all requests through a proxy that has the pod as an endpoint only while it is ready, as a Service of Kubernetes
// does. A dead pod refuses connections itself.
func (s *stage) behindEndpoints() {
	endpoints := newGate(s.t, strings.TrimPrefix(s.api, "http://"))
	s.url = "http://" + endpoints.Addr().String()
	go func() {
		for testkit.Pause(s.t.Context(), probePeriod) {
			resp, err := http.Get("http://" + s.metrics + "/readyz")
			if err == nil {
				_ = resp.Body.Close()
			}
			endpoints.set(err != nil || resp.StatusCode != http.StatusOK)
		}
	}()
}
