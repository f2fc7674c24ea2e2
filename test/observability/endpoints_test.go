//go:build alerts

package observability_test

import (
	"net/http"
	"strings"
	"time"

	"user-service/internal/testkit"
)

// probePeriod is the kubelet's period of readiness probes, shortened by the same factor as the rules.
const probePeriod = 10 * time.Second / hurry

// behindEndpoints sends all requests through a proxy. Like a Service of Kubernetes, it forwards to the pod only while the pod is ready. A
// pod that does not run refuses connections itself.
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
