package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkTimeout = time.Second
	maxReportAge = time.Second // a report that the service is ready is reused for this time
	// maxUnreadyAge is the time for which any other report is reused. It is shorter, because at the start of a process, the first probe
	// often comes a few milliseconds before the service is ready.
	maxUnreadyAge = 20 * time.Millisecond
)

// Check is one check of readiness.
type Check struct {
	Name string
	// Run returns nil or an error. The error text is public.
	Run func(context.Context) error
	// NonCritical means that the check is reported but does not make the service unready.
	NonCritical bool
}

// Health reports whether the service is ready for requests. Create it with NewHealth.
type Health struct {
	log      *slog.Logger
	checks   []Check
	draining atomic.Bool

	mu        sync.Mutex
	report    healthReport
	ready     bool
	wasReady  bool // since the start of the process
	checkedAt time.Time
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

// NewHealth returns a Health with these checks. It logs each change of readiness with the reasons; log may be nil.
func NewHealth(log *slog.Logger, checks ...Check) *Health {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Health{log: log, checks: checks}
}

// Ready returns the results of the checks that decide readiness. The check shutdown fails from the call of Drain on.
func (h *Health) Ready(ctx context.Context) map[string]bool {
	report, _ := h.check(ctx)
	results := map[string]bool{"shutdown": !h.draining.Load()}
	for _, check := range h.checks {
		if !check.NonCritical {
			results[check.Name] = report.Checks[check.Name].Status == statusOK
		}
	}
	return results
}

// Drain makes the service unready until the process ends.
func (h *Health) Drain() { h.draining.Store(true) }

// check returns a report that is at most maxReportAge or maxUnreadyAge old. Concurrent callers wait for one run of the checks.
func (h *Health) check(ctx context.Context) (healthReport, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	draining := h.draining.Load()
	reuse := maxUnreadyAge
	if h.ready {
		reuse = maxReportAge
	}
	if time.Since(h.checkedAt) > reuse && !draining {
		previous, first := h.ready, h.checkedAt.IsZero()
		h.report, h.ready = h.runChecks(context.WithoutCancel(ctx))
		h.checkedAt = time.Now()
		if h.ready != previous || first {
			h.logReadiness(ctx)
		}
		h.wasReady = h.wasReady || h.ready
	}
	if !draining {
		return h.report, h.ready
	}
	checks := map[string]checkReport{"shutdown": {Status: statusUnavailable, Detail: "shutting down"}}
	maps.Copy(checks, h.report.Checks) // the last results: checks no longer run
	return healthReport{Status: statusUnavailable, Checks: checks}, false
}

// logReadiness logs whether the service is ready, and otherwise why not. During a start, this is not a warning.
func (h *Health) logReadiness(ctx context.Context) {
	if h.ready {
		h.log.InfoContext(ctx, "ready")
		return
	}
	var failed []any
	for _, check := range h.checks {
		if report := h.report.Checks[check.Name]; !check.NonCritical && report.Status != statusOK {
			failed = append(failed, slog.String(check.Name, report.Detail))
		}
	}
	level := slog.LevelInfo
	if h.wasReady {
		level = slog.LevelWarn
	}
	h.log.Log(ctx, level, "not ready", slog.Group("checks", failed...))
}

// runChecks runs all checks concurrently, with checkTimeout.
func (h *Health) runChecks(ctx context.Context) (healthReport, bool) {
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

// Handler serves /healthz and /readyz alone, for a program without the API.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _ = writeAlive(w) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { _ = h.writeReady(r.Context(), w) })
	return mux
}

// writeAlive reports liveness: the process works. It does not check dependencies, because a restart of the service fixes neither the
// database nor the broker.
func writeAlive(w http.ResponseWriter) error {
	noStore(w)
	return writeJSON(w, http.StatusOK, healthReport{Status: statusOK, Checks: map[string]checkReport{
		"process": {Status: statusOK},
	}})
}

// writeReady reports readiness: whether this replica should get requests.
func (h *Health) writeReady(ctx context.Context, w http.ResponseWriter) error {
	report, ready := h.check(ctx)
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	noStore(w)
	return writeJSON(w, status, report)
}

// healthz is the handler of /healthz.
func (a *API) healthz(w http.ResponseWriter, _ *call) error { return writeAlive(w) }

// readyz is the handler of /readyz.
func (a *API) readyz(w http.ResponseWriter, c *call) error {
	return a.health.writeReady(c.Context(), w)
}
