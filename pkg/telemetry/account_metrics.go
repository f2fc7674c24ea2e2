package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// loginResults are the results of a login that get a label of their own: success, or
// the name of the problem that was the answer.
var loginResults = []string{"success", "invalid-credentials", "validation-failed", "too-many-requests", "overloaded", "unavailable"}

func newLogins(factory promauto.Factory) *prometheus.CounterVec {
	return newCounter(factory, "user_service_logins_total", "Logins by result.", "result", loginResults)
}

// LoginDone counts a login: "success", or the name of the problem that was the answer, such as
// "invalid-credentials".
func (m *Metrics) LoginDone(result string) {
	m.logins.WithLabelValues(bounded(loginResults, result)).Inc()
}

// Reaped counts rows that were deleted because they were over. It fits postgres.ReapObserver.
func (m *Metrics) Reaped(table string, rows int64) {
	m.reaped.WithLabelValues(bounded(m.tables, table)).Add(float64(rows))
}

// refusals are the reasons for which package password refuses to hash.
var refusals = []string{"queue_full", "timeout"}

type hashMetrics struct {
	duration prometheus.Histogram
	wait     prometheus.Histogram
	refused  *prometheus.CounterVec
}

func newHashMetrics(factory promauto.Factory) hashMetrics {
	buckets := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}
	return hashMetrics{
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_password_hash_duration_seconds",
			Help:    "Time that hashing one password took, without the wait.",
			Buckets: buckets,
		}),
		wait: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_password_hash_wait_seconds",
			Help:    "Time that a password waited for its turn to be hashed.",
			Buckets: append([]float64{0.001}, buckets...),
		}),
		refused: newCounter(factory, "user_service_password_hash_refused_total",
			"Passwords that were not hashed, as the queue was full or the wait too long.", "reason", refusals),
	}
}

// HashDone notes that a password was hashed. It fits password.Observer.
func (m *Metrics) HashDone(waited, ran time.Duration) {
	m.hashing.wait.Observe(waited.Seconds())
	m.hashing.duration.Observe(ran.Seconds())
}

// HashRefused counts a password that was not hashed. It fits password.Observer.
func (m *Metrics) HashRefused(reason string) {
	m.hashing.refused.WithLabelValues(bounded(refusals, reason)).Inc()
}
