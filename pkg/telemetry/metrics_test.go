package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/telemetry"
)

var eventTypes = []string{"user.created", "user.updated", "user.deleted"}

// sources returns the sources of a healthy service.
func sources() telemetry.Sources {
	return telemetry.Sources{
		HashRunning: func() int64 { return 2 },
		HashWaiting: func() int64 { return 3 },
		HashLimit:   4,
		BodyBytes:   func() int64 { return 8192 },
		Pool: func() telemetry.PoolStats {
			return telemetry.PoolStats{Idle: 4, Used: 5, Max: 16, Acquired: 70, AcquireTime: 1500 * time.Millisecond, Canceled: 6}
		},
		Ready:          func(context.Context) map[string]bool { return map[string]bool{"database": true, "schema": false} },
		Certificates:   func() map[string]time.Time { return map[string]time.Time{"database_client": time.Unix(1900000000, 0)} },
		Outbox:         func(context.Context) (int64, time.Duration, error) { return 8, 90 * time.Second, nil },
		Parked:         func(context.Context) (map[string]int64, error) { return map[string]int64{"user.updated": 3}, nil },
		Schema:         func(context.Context) (int64, error) { return 11, nil },
		SchemaRequired: 10,
		Keys: func(context.Context) ([]telemetry.Key, error) {
			return []telemetry.Key{
				{ID: "new", Algorithm: "EdDSA", Signs: true, Since: time.Unix(1800000000, 0)},
				{ID: "old", Algorithm: "HS256", Since: time.Unix(1700000000, 0)},
			}, nil
		},
	}
}

// The collectors use connections of the pool, which must not count in the same scrape.
func TestThePoolIsReadBeforeTheDatabaseIsQueried(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := sources()
		var asked atomic.Bool
		pool, outbox, schema, keys := s.Pool, s.Outbox, s.Schema, s.Keys
		s.Outbox = func(ctx context.Context) (int64, time.Duration, error) { asked.Store(true); return outbox(ctx) }
		s.Schema = func(ctx context.Context) (int64, error) { asked.Store(true); return schema(ctx) }
		s.Keys = func(ctx context.Context) ([]telemetry.Key, error) { asked.Store(true); return keys(ctx) }
		s.Pool = func() telemetry.PoolStats {
			if asked.Load() {
				t.Error("the database was queried before the pool was read")
			}
			return pool()
		}
		exposition(t, watched(s), "text/plain")
	}
}

func watched(s telemetry.Sources) *telemetry.Metrics {
	m := telemetry.NewMetrics("1.2.3", eventTypes, []string{"sessions"})
	m.Watch(s)
	return m
}

// handler is implemented by the metrics of the service and by the metrics of the mailer.
type handler interface{ Handler() http.Handler }

// exposition returns the response to a scrape that accepts these formats.
func exposition(t *testing.T, m handler, accept string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return answer
}

// scrape returns the values of all series by name and labels.
func scrape(t *testing.T, m handler) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for line := range strings.Lines(exposition(t, m, "text/plain").Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSuffix(line, "\n")
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[line[:at]] = value
	}
	return series
}

// has checks the values of series.
func has(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if found, ok := got[name]; !ok {
			t.Errorf("%s is absent", name)
		} else if found != value {
			t.Errorf("%s is %v, want %v", name, found, value)
		}
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	m := watched(sources())
	m.RequestStarted(context.Background(), http.MethodGet)("/users/{id}", http.StatusOK)
	problems, err := promlint.New(exposition(t, m, "text/plain").Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		// OpenTelemetry's name of this gauge ends like a counter of Prometheus.
		if problem.Metric == "db_client_connection_count" && strings.Contains(problem.Text, `"_count" suffix`) {
			continue
		}
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

func TestMetricsStartAtZero(t *testing.T) {
	t.Parallel()
	has(t, scrape(t, watched(sources())), map[string]float64{
		`user_service_logins_total{result="success"}`:                                          0,
		`user_service_logins_total{result="invalid-credentials"}`:                              0,
		`user_service_logins_total{result="overloaded"}`:                                       0,
		`user_service_refreshes_total{result="success"}`:                                       0,
		`user_service_refreshes_total{result="invalid-refresh-token"}`:                         0,
		`user_service_lockouts_total`:                                                          0,
		`user_service_refresh_token_reuses_total`:                                              0,
		`user_service_cleanup_runs_total{result="failure"}`:                                    0,
		`user_service_secrets_reload_failed`:                                                   0,
		`user_service_token_key_scrape_errors_total`:                                           0,
		`db_client_operation_duration_seconds_count{db_operation_name="SELECT",error_type=""}`: 0,
		`user_service_rate_limited_total{policy="address"}`:                                    0,
		`user_service_rate_limited_total{policy="login"}`:                                      0,
		`user_service_password_hash_refused_total{reason="queue_full"}`:                        0,
		`user_service_password_hash_refused_total{reason="timeout"}`:                           0,
		`user_service_password_hash_refused_total{reason="process"}`:                           0,
		`user_service_outbox_published_total{type="user.created"}`:                             0,
		`user_service_outbox_failed_total{type="user.updated"}`:                                0,
		`user_service_events_unroutable_total{type="user.deleted"}`:                            0,
		`user_service_outbox_scrape_errors_total`:                                              0,
		`user_service_schema_scrape_errors_total`:                                              0,
		`user_service_rabbitmq_connected`:                                                      0,
		`user_service_rabbitmq_nacked_total`:                                                   0,
		`user_service_rabbitmq_confirm_duration_seconds_count`:                                 0,
		`http_server_active_requests{http_request_method="GET"}`:                               0,
		`http_server_active_requests{http_request_method="PATCH"}`:                             0,
		`promhttp_metric_handler_errors_total{cause="gathering"}`:                              0,
		`user_service_password_hash_duration_seconds_bucket{le="0.1"}`:                         0,
		`user_service_outbox_delivery_seconds_bucket{le="0.01"}`:                               0,
		`user_service_rabbitmq_confirm_duration_seconds_bucket{le="0.01"}`:                     0,
	})
}

func TestMetricsCountWhatHappened(t *testing.T) {
	t.Parallel()
	m := watched(sources())
	m.LoginDone("success")
	m.LoginDone("invalid-credentials")
	m.RefreshDone("success")
	m.RefreshDone("invalid-refresh-token")
	m.LockedOut()
	m.TokenReused()
	m.ResetDropped()
	m.CleanupRows("sessions", 7)
	m.CleanupDone(nil)
	m.CleanupDone(errors.New("no database"))
	m.SecretsRejected(2)
	m.QueryDone(t.Context(), "SELECT", 4*time.Millisecond, "")
	m.QueryDone(t.Context(), "INSERT", time.Second, "57")
	m.RateLimited("address")
	m.HashDone(20*time.Millisecond, 40*time.Millisecond)
	m.HashRefused("timeout")
	m.EventPublished("user.created", 3*time.Millisecond)
	m.EventPublished("user.created", 3*time.Minute)
	m.EventFailed("user.updated")
	m.Returned("user.created")
	m.Connected(true)
	m.Confirmed(2 * time.Millisecond)
	m.Nacked()
	has(t, scrape(t, m), map[string]float64{
		`user_service_logins_total{result="success"}`:                                                      1,
		`user_service_logins_total{result="invalid-credentials"}`:                                          1,
		`user_service_refreshes_total{result="success"}`:                                                   1,
		`user_service_refreshes_total{result="invalid-refresh-token"}`:                                     1,
		`user_service_lockouts_total`:                                                                      1,
		`user_service_refresh_token_reuses_total`:                                                          1,
		`user_service_password_resets_dropped_total`:                                                       1,
		`user_service_cleanup_rows_total{table="sessions"}`:                                                7,
		`user_service_cleanup_runs_total{result="success"}`:                                                1,
		`user_service_cleanup_runs_total{result="failure"}`:                                                1,
		`user_service_secrets_reload_failed`:                                                               2,
		`db_client_operation_duration_seconds_bucket{db_operation_name="SELECT",error_type="",le="0.005"}`: 1,
		`db_client_operation_duration_seconds_sum{db_operation_name="INSERT",error_type="57"}`:             1,
		`user_service_token_key_since_timestamp_seconds{algorithm="EdDSA",kid="new",use="sign"}`:           1.8e9,
		`user_service_token_key_since_timestamp_seconds{algorithm="HS256",kid="old",use="accept"}`:         1.7e9,
		`user_service_rate_limited_total{policy="address"}`:                                                1,
		`user_service_password_hash_wait_seconds_sum`:                                                      0.02,
		`user_service_password_hash_duration_seconds_sum`:                                                  0.04,
		`user_service_password_hash_refused_total{reason="timeout"}`:                                       1,
		`user_service_outbox_published_total{type="user.created"}`:                                         2,
		`user_service_outbox_delivery_seconds_bucket{le="0.005"}`:                                          1,
		`user_service_outbox_delivery_seconds_bucket{le="300"}`:                                            2,
		`user_service_outbox_failed_total{type="user.updated"}`:                                            1,
		`user_service_events_unroutable_total{type="user.created"}`:                                        1,
		`user_service_rabbitmq_connected`:                                                                  1,
		`user_service_rabbitmq_confirm_duration_seconds_sum`:                                               0.002,
		`user_service_rabbitmq_nacked_total`:                                                               1,
		`user_service_password_hash_running`:                                                               2,
		`user_service_password_hash_queued`:                                                                3,
		`user_service_password_hash_limit`:                                                                 4,
		`user_service_outbox_pending_events`:                                                               8,
		`user_service_outbox_oldest_event_age_seconds`:                                                     90,
		`user_service_schema_version`:                                                                      11,
		`user_service_schema_version_required`:                                                             10,
		`db_client_connection_count{db_client_connection_state="idle"}`:                                    4,
		`db_client_connection_count{db_client_connection_state="used"}`:                                    5,
		`db_client_connection_max`:                                                                         16,
		`db_client_connection_wait_time_seconds_count`:                                                     70,
		`db_client_connection_wait_time_seconds_sum`:                                                       1.5,
		`db_client_connection_timeouts_total`:                                                              6,
	})
	m.Connected(false)
	has(t, scrape(t, m), map[string]float64{`user_service_rabbitmq_connected`: 0})
}

func TestRequestMetrics(t *testing.T) {
	t.Parallel()
	m := watched(sources())
	const active = `http_server_active_requests{http_request_method="POST"}`
	done := m.RequestStarted(context.Background(), http.MethodPost)
	has(t, scrape(t, m), map[string]float64{active: 1})
	done("/login", http.StatusUnauthorized)
	m.RequestStarted(context.Background(), http.MethodGet)("", http.StatusNotFound)
	m.RequestStarted(context.Background(), "BREW")("", http.StatusMethodNotAllowed)
	const count = "http_server_request_duration_seconds_count"
	has(t, scrape(t, m), map[string]float64{
		active: 0,
		`http_server_active_requests{http_request_method="_OTHER"}`:                                     0,
		count + `{http_request_method="POST",http_response_status_code="401",http_route="/login"}`:      1,
		count + `{http_request_method="GET",http_response_status_code="404",http_route="unmatched"}`:    1,
		count + `{http_request_method="_OTHER",http_response_status_code="405",http_route="unmatched"}`: 1,
	})
}

func TestBuildInfo(t *testing.T) {
	t.Parallel()
	for name, value := range scrape(t, watched(sources())) {
		if strings.HasPrefix(name, `user_service_build_info{goversion="go1.`) &&
			strings.Contains(name, `,revision="`) && strings.HasSuffix(name, `,version="1.2.3"}`) && value == 1 {
			return
		}
	}
	t.Error("user_service_build_info has no series with the value 1, the revision and the version 1.2.3, want one")
}

// Clients can't increase the number of series.
func TestSeriesStayConstant(t *testing.T) {
	t.Parallel()
	m := watched(sources())
	one := func(i int) {
		made := fmt.Sprint("made-up-", i)
		m.RequestStarted(context.Background(), made)("", http.StatusNotFound)
		m.LoginDone(made)
		m.RefreshDone(made)
		m.CleanupRows(made, 1)
		m.QueryDone(context.Background(), made, time.Second, made)
		m.RateLimited(made)
		m.HashRefused(made)
		m.PwnedPasswordsQueried(made)
		m.EventPublished(made, time.Second)
		m.EventFailed(made)
		m.Returned(made)
	}
	one(0)
	before := len(scrape(t, m))
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() { one(i) })
	}
	all.Wait()
	after := scrape(t, m)
	if len(after) != before {
		t.Errorf("1000 invented values increase the series from %[2]d to %[1]d", len(after), before)
	}
	has(t, after, map[string]float64{
		`user_service_logins_total{result="_OTHER"}`:                1001,
		`user_service_rate_limited_total{policy="_OTHER"}`:          1001,
		`user_service_password_hash_refused_total{reason="_OTHER"}`: 1001,
		`user_service_outbox_published_total{type="_OTHER"}`:        1001,
	})
}

func TestMetricsOfAFailedQueryAreAbsent(t *testing.T) {
	t.Parallel()
	s := sources()
	s.Outbox = func(context.Context) (int64, time.Duration, error) { return 0, 0, errors.New("no database") }
	s.Schema = func(ctx context.Context) (int64, error) {
		<-ctx.Done() // like a database that does not respond
		return 0, ctx.Err()
	}
	s.Keys = func(context.Context) ([]telemetry.Key, error) { return nil, errors.New("no database") }
	m := watched(s)
	started := time.Now()
	got := scrape(t, m)
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the scrape took %s", took)
	}
	for _, name := range []string{
		"user_service_outbox_pending_events", "user_service_outbox_oldest_event_age_seconds", "user_service_schema_version",
	} {
		if value, ok := got[name]; ok {
			t.Errorf("%s is %v, want it absent", name, value)
		}
	}
	has(t, got, map[string]float64{
		"user_service_outbox_scrape_errors_total":    1,
		"user_service_schema_scrape_errors_total":    1,
		"user_service_token_key_scrape_errors_total": 1,
		"user_service_schema_version_required":       10,
		"db_client_connection_max":                   16,
	})
}

func TestMetricsSupportOpenMetrics(t *testing.T) {
	t.Parallel()
	answer := exposition(t, watched(sources()), "application/openmetrics-text;version=1.0.0")
	if got := answer.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("the content type is %q, want application/openmetrics-text", got)
	}
	if !strings.HasSuffix(answer.Body.String(), "# EOF\n") {
		t.Error("the response has no EOF line")
	}
	seen := map[string]string{}
	families := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(answer.Body.String(), -1)
	if len(families) < 30 {
		t.Errorf("the response has %d metric families, want at least 30", len(families))
	}
	for _, family := range families {
		if kind, twice := seen[family[1]]; twice {
			t.Errorf("the metric family %s has the types %s and %s, want one", family[1], kind, family[2])
		}
		seen[family[1]] = family[2]
	}
	// A sample with a reserved suffix must not have the name of another family (OpenMetrics 1.0, "MetricFamily").
	suffixes := map[string][]string{
		"counter": {"_total", "_created"}, "histogram": {"_bucket", "_count", "_sum", "_created"},
		"summary": {"_count", "_sum", "_created"},
	}
	for name, kind := range seen {
		for _, suffix := range suffixes[kind] {
			if other, clash := seen[name+suffix]; clash {
				t.Errorf("the sample %s%s of a %s has the name of another metric family, a %s", name, suffix, kind, other)
			}
		}
	}
}

// TestExemplarsCarryTraces checks that a histogram has the id of a recorded trace as an exemplar.
func TestExemplarsCarryTraces(t *testing.T) {
	t.Parallel()
	m := watched(sources())
	traced := func(sampled trace.TraceFlags) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{15: 1 + byte(sampled)}, SpanID: trace.SpanID{7: 1}, TraceFlags: sampled,
		}))
	}
	for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled} {
		m.RequestStarted(traced(flags), http.MethodGet)("/users/{id}", http.StatusOK)
		m.QueryDone(traced(flags), "SELECT", time.Millisecond, "")
	}
	text := exposition(t, m, "application/openmetrics-text;version=1.0.0").Body.String()
	for _, histogram := range []string{"http_server_request_duration_seconds", "db_client_operation_duration_seconds"} {
		carries := regexp.MustCompile(`(?m)^` + histogram + `_bucket\{.*\} \d+ # \{trace_id="00000000000000000000000000000002"\}`)
		if !carries.MatchString(text) {
			t.Errorf("no bucket of %s has the recorded trace:\n%s", histogram, text)
		}
	}
	if strings.Contains(text, "00000000000000000000000000000001") {
		t.Error("an exemplar has a trace that is not recorded")
	}
}
