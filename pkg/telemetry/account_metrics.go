package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// loginResults are the known results of a login: success, or the name of a problem.
var loginResults = []string{
	"success", "invalid-credentials", "second-factor-required", "invalid-code", "invalid-challenge", "validation-failed",
	"too-many-requests", "overloaded", "unavailable",
}

// loginMethods are the authentication methods of logins.
var loginMethods = []string{"pwd", "pwd+otp+mfa", "pwd+pop+user+mfa", "pop+user+mfa"}

// factorTypes are the types of second factors.
var factorTypes = []string{"totp", "passkey"}

// factorRemovers are the callers that can remove a factor: its user, or another caller.
var factorRemovers = []string{"user", "other"}

// refreshResults are the known results of a refresh.
var refreshResults = []string{"success", "invalid-refresh-token", "validation-failed", "too-many-requests", "unavailable"}

type accountMetrics struct {
	logins, refreshes        *prometheus.CounterVec
	methods                  *prometheus.CounterVec
	added, removed           *prometheus.CounterVec
	lockOuts, reused         prometheus.Counter
	droppedResets            prometheus.Counter
	cleanupRows, cleanupRuns *prometheus.CounterVec
	tables                   []string // all tables from which the cleanup deletes rows
	rejectedSecrets          prometheus.Gauge
	pwned                    *prometheus.CounterVec
}

func newAccountMetrics(factory promauto.Factory, tables []string) accountMetrics {
	return accountMetrics{
		logins: newCounter(factory, "user_service_logins_total", "Logins by result.", "result", loginResults),
		methods: newCounter(factory, "user_service_login_methods_total",
			"Successful logins by authentication methods (RFC 8176).", "amr", loginMethods),
		added: newCounter(factory, "user_service_factors_added_total", "Second factors that were confirmed, by type.", "type", factorTypes),
		removed: newCounter(factory, "user_service_factors_removed_total",
			"Confirmed second factors that were removed by their user or by another caller. Commands are not counted.", "by",
			factorRemovers),
		refreshes: newCounter(factory, "user_service_refreshes_total", "Refreshes by result.", "result", refreshResults),
		lockOuts: factory.NewCounter(prometheus.CounterOpts{
			Name: "user_service_lockouts_total",
			Help: "Login failures that started a backoff for an email or a user.",
		}),
		reused: factory.NewCounter(prometheus.CounterOpts{
			Name: "user_service_refresh_token_reuses_total",
			Help: "Reuses of used refresh tokens; each ended its session.",
		}),
		droppedResets: factory.NewCounter(prometheus.CounterOpts{
			Name: "user_service_password_resets_dropped_total",
			Help: "Password resets of existing accounts that were not sent, because too many waited or the database failed.",
		}),
		cleanupRows: newCounter(factory, "user_service_cleanup_rows_total",
			"Expired rows deleted by the cleanup, by table.", "table", tables),
		cleanupRuns: newCounter(factory, "user_service_cleanup_runs_total", "Cleanup runs by result.", "result", cleanupResults),
		tables:      tables,
		pwned: newCounter(factory, "user_service_pwned_passwords_queries_total",
			"New passwords that were looked up at PWNED_PASSWORDS_URL, by result. After a failure, the password is accepted.",
			"result", pwnedResults),
		rejectedSecrets: factory.NewGauge(prometheus.GaugeOpts{
			Name: "user_service_secrets_reload_failed",
			Help: "Secrets with a new value that the service rejects; the old value stays in use.",
		}),
	}
}

// LoginDone counts a login. The result is "success" or the name of a problem, such as "invalid-credentials".
func (m *Metrics) LoginDone(result string) {
	m.accounts.logins.WithLabelValues(bounded(loginResults, result)).Inc()
}

// RefreshDone counts a refresh. The result is "success" or the name of a problem, such as "invalid-refresh-token".
func (m *Metrics) RefreshDone(result string) {
	m.accounts.refreshes.WithLabelValues(bounded(refreshResults, result)).Inc()
}

// LockedOut counts a backoff after login failures. It implements user.Observer.
func (m *Metrics) LockedOut() { m.accounts.lockOuts.Inc() }

// LoggedIn counts a successful login by its authentication methods. It implements user.Observer.
func (m *Metrics) LoggedIn(amr []string) {
	m.accounts.methods.WithLabelValues(bounded(loginMethods, strings.Join(amr, "+"))).Inc()
}

// FactorAdded counts a confirmed factor. It implements user.Observer.
func (m *Metrics) FactorAdded(typ string) {
	m.accounts.added.WithLabelValues(bounded(factorTypes, typ)).Inc()
}

// FactorRemoved counts a removed factor. It implements user.Observer.
func (m *Metrics) FactorRemoved(by string) {
	m.accounts.removed.WithLabelValues(bounded(factorRemovers, by)).Inc()
}

// TokenReused counts the reuse of a refresh token, which ends its session. It implements user.Observer.
func (m *Metrics) TokenReused() { m.accounts.reused.Inc() }

// ResetDropped counts a requested password reset that is not sent. It implements user.Observer.
func (m *Metrics) ResetDropped() { m.accounts.droppedResets.Inc() }

// pwnedResults are the results of a query at PWNED_PASSWORDS_URL.
var pwnedResults = []string{"found", "not_found", "failed"}

// PwnedPasswordsQueried counts a query. It implements pwned.Observer.
func (m *Metrics) PwnedPasswordsQueried(result string) {
	m.accounts.pwned.WithLabelValues(bounded(pwnedResults, result)).Inc()
}

// SecretsRejected sets the number of variables whose new value is rejected.
func (m *Metrics) SecretsRejected(variables int) { m.accounts.rejectedSecrets.Set(float64(variables)) }

// CleanupRows counts expired rows that were deleted. It implements postgres.CleanupObserver.
func (m *Metrics) CleanupRows(table string, rows int64) {
	m.accounts.cleanupRows.WithLabelValues(bounded(m.accounts.tables, table)).Add(float64(rows))
}

// cleanupResults are the results of a cleanup run.
var cleanupResults = []string{"success", "failure"}

// CleanupDone counts a cleanup run. It implements postgres.CleanupObserver.
func (m *Metrics) CleanupDone(err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	m.accounts.cleanupRuns.WithLabelValues(result).Inc()
}

// refusals are the known reasons for HashRefused.
var refusals = []string{"queue_full", "timeout", "process", "start"}

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
			Help:    "Time to hash a password, without the time in the queue.",
			Buckets: buckets,
		}),
		wait: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "user_service_password_hash_wait_seconds",
			Help:    "Time of a password in the hashing queue.",
			Buckets: append([]float64{0.001}, buckets...),
		}),
		refused: newCounter(factory, "user_service_password_hash_refused_total",
			"Passwords not hashed, by reason: full queue, timeout in the queue, hashing process ended, hashing process not started.",
			"reason", refusals),
	}
}

// HashDone records the times of a hash. It implements password.Observer.
func (m *Metrics) HashDone(waited, ran time.Duration) {
	m.hashing.wait.Observe(waited.Seconds())
	m.hashing.duration.Observe(ran.Seconds())
}

// HashRefused counts a password that was not hashed. It implements password.Observer.
func (m *Metrics) HashRefused(reason string) {
	m.hashing.refused.WithLabelValues(bounded(refusals, reason)).Inc()
}
