package httpapi

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkTimeout = time.Second
	checkEvery   = time.Second // a report is good for so long, however often it is asked for
)

// Check is one thing that readiness looks at.
type Check struct {
	Name string
	// Run returns nil if all is well, else an error fit to be shown.
	Run func(context.Context) error
	// NonCritical says that the check is reported but does not decide.
	NonCritical bool
}

// Health knows whether the service can serve. Make one with NewHealth.
type Health struct {
	checks   []Check
	draining atomic.Bool

	mu     sync.Mutex
	report healthReport
	ready  bool
	at     time.Time
}

type healthReport struct {
	Status string                 `json:"status"`
	Checks map[string]checkReport `json:"checks"`
}

type checkReport struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

const (
	statusOK          = "ok"
	statusUnavailable = "unavailable"
)

// NewHealth returns a Health that looks at the checks.
func NewHealth(checks ...Check) *Health { return &Health{checks: checks} }

// Drain makes the service not ready for the rest of its life.
func (h *Health) Drain() { h.draining.Store(true) }

// check returns a report of at most checkEvery ago. Many who ask at once wait for one look.
func (h *Health) check(ctx context.Context) (healthReport, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	draining := h.draining.Load()
	if time.Since(h.at) > checkEvery && !draining {
		h.report, h.ready = h.run(context.WithoutCancel(ctx))
		h.at = time.Now()
	}
	if !draining {
		return h.report, h.ready
	}
	checks := map[string]checkReport{"shutdown": {Status: statusUnavailable, Detail: "shutting down"}}
	maps.Copy(checks, h.report.Checks) // the last that was seen: nothing is looked at any more
	return healthReport{Status: statusUnavailable, Checks: checks}, false
}

// run runs all checks at once.
func (h *Health) run(ctx context.Context) (healthReport, bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, check := range h.checks {
		wg.Go(func() { errs[i] = check.Run(ctx) })
	}
	wg.Wait()
	report, ready := healthReport{Status: statusOK, Checks: map[string]checkReport{}}, true
	for i, check := range h.checks {
		if errs[i] == nil {
			report.Checks[check.Name] = checkReport{Status: statusOK}
			continue
		}
		report.Checks[check.Name] = checkReport{Status: statusUnavailable, Detail: errs[i].Error()}
		if !check.NonCritical {
			report.Status, ready = statusUnavailable, false
		}
	}
	return report, ready
}

// healthz says that the process works. It looks at nothing else: to restart the service
// mends neither the database nor the broker.
func (a *API) healthz(w http.ResponseWriter, _ *call) error {
	noStore(w)
	return writeJSON(w, http.StatusOK, healthReport{Status: statusOK, Checks: map[string]checkReport{
		"process": {Status: statusOK},
	}})
}

// readyz says whether requests should be sent here.
func (a *API) readyz(w http.ResponseWriter, c *call) error {
	report, ready := a.health.check(c.Context())
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	noStore(w)
	return writeJSON(w, status, report)
}
