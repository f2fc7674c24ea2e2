package observability_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// story is a list of scrapes, and the alerts that fire at its end, with their severity.
type story struct {
	name  string
	at    string
	input map[string]string // values of promtool, one for each scrape, by series; @ stands for the labels of a pod, + for a mailer's
	fires []string          // none: no alert fires
}

const (
	total  = `http_server_request_duration_seconds_count{@,http_route="%s",http_response_status_code="%s"}`
	bucket = `http_server_request_duration_seconds_bucket{@,http_route="%s",http_response_status_code="%s",le="%s"}`
)

// logins returns the story of one result of logins.
func logins(result, values string) map[string]string {
	return one(fmt.Sprintf(`user_service_logins_total{@,result=%q}`, result), values)
}

func answers(route, status, count, intime, le string) map[string]string {
	return map[string]string{fmt.Sprintf(total, route, status): count, fmt.Sprintf(bucket, route, status, le): intime}
}

func both(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// one returns the story of a single series.
func one(series, values string) map[string]string { return map[string]string{series: values} }

// days is the end of a story that is longer than the longest window.
const days = "80h"

var stories = []story{
	{"no failure", "3h", answers("/users/{id}", "200", "0+600x300", "0+600x300", "0.25"), nil},
	{"a tenth of the requests fails", "40m", both(
		answers("/users/{id}", "200", "0+540x100", "0+540x100", "0.25"), answers("/users/{id}", "503", "0+60x100", "0+60x100", "0.25"),
	), []string{"UserServiceErrorBudgetBurn/critical"}},
	{"a few requests fail for days", days, both(
		answers("/users/{id}", "200", "0+998x2500", "0+998x2500", "0.25"), answers("/users/{id}", "503", "0+2x2500", "0+2x2500", "0.25"),
	), []string{"UserServiceErrorBudgetBurn/warning"}},
	{"within the budget", days, both(
		answers("/users/{id}", "200", "0+9995x2500", "0+9995x2500", "0.25"), answers("/users/{id}", "503", "0+5x2500", "0+5x2500", "0.25"),
	), nil},
	{"0.7 % of the requests fail, just above 6 times the budget", "7h", both(
		answers("/users/{id}", "200", "0+993x500", "0+993x500", "0.25"), answers("/users/{id}", "503", "0+7x500", "0+7x500", "0.25"),
	), []string{"UserServiceErrorBudgetBurn/critical", "UserServiceErrorBudgetBurn/warning"}},
	{"0.5 % of the requests fail, just below 6 times the budget", "7h", both(
		answers("/users/{id}", "200", "0+995x500", "0+995x500", "0.25"), answers("/users/{id}", "503", "0+5x500", "0+5x500", "0.25"),
	), []string{"UserServiceErrorBudgetBurn/warning"}},
	{"1.6 % of the requests of an hour fail, just above 14.4 times the budget", "425m", both(
		answers("/users/{id}", "200", "0+1000x360 360984+984x70", "0+1000x360 360984+984x70", "0.25"),
		answers("/users/{id}", "503", "0x360 16+16x70", "0x360 16+16x70", "0.25"),
	), []string{"UserServiceErrorBudgetBurn/critical"}},
	{"1.3 % of the requests of an hour fail, just below 14.4 times the budget", "425m", both(
		answers("/users/{id}", "200", "0+1000x360 360987+987x70", "0+1000x360 360987+987x70", "0.25"),
		answers("/users/{id}", "503", "0x360 13+13x70", "0x360 13+13x70", "0.25"),
	), nil},
	{"one of three requests of a night fails", "70m", both(
		answers("/users/{id}", "200", "0x30 2x100", "0x30 2x100", "0.25"),
		answers("/users/{id}", "503", "0x30 1x100", "0x30 1x100", "0.25"),
	), nil},
	{"a failure that has ended", "150m", both(
		answers("/users/{id}", "200", "0+600x200", "0+600x200", "0.25"),
		answers("/users/{id}", "503", "0+60x10 600x200", "0+60x10 600x200", "0.25"),
	), nil},
	{
		"a fifth is late", "40m", answers("/users/{id}", "200", "0+600x100", "0+480x100", "0.25"),
		[]string{"UserServiceLatencyBudgetBurn/critical"},
	},
	{"Prometheus 3 writes whole buckets with a point", "70m", answers("/login", "200", "0+600x100", "0+600x100", "1.0"), nil},
	{"slow logins", "40m", answers("/login", "200", "0+600x100", "0+480x100", "1"), []string{"UserServiceLatencyBudgetBurn/critical"}},
	{
		"logins may take longer", "70m",
		both(answers("/login", "200", "0+600x100", "0+600x100", "1"), one(fmt.Sprintf(bucket, "/login", "200", "0.25"), "0x100")), nil,
	},

	{"an old event", "5m", one(`user_service_outbox_oldest_event_age_seconds{@}`, "0+60x10"), []string{"UserServiceOutboxStuck/critical"}},
	{
		"a parked event", "5m", one(`user_service_outbox_parked_events{@,type="user.updated"}`, "0x1 1x10"),
		[]string{"UserServiceEventsParked/critical"},
	},
	{"no parked event", "5m", one(`user_service_outbox_parked_events{@,type="user.updated"}`, "0x10"), nil},
	{"a young event", "5m", one(`user_service_outbox_oldest_event_age_seconds{@}`, "50x10"), nil},
	{
		"a quarter of the logins is not served", "20m",
		both(logins("success", "0+3x30"), logins("unavailable", "0+1x30")),
		[]string{"UserServiceLoginsFail/critical"},
	},
	{"no login of a night is served", "20m", logins("unavailable", "0+1x30"), []string{"UserServiceLoginsFail/critical"}},
	{"two logins of a night are not served", "20m", logins("overloaded", "0 1 1 1 2x30"), nil},
	{
		"one of 33 logins is not served", "20m", both(logins("success", "0+32x30"), logins("overloaded", "0+1x30")), nil,
	},
	{
		"most logins have a wrong password", "20m", both(logins("success", "0+10x30"), logins("invalid-credentials", "0+90x30")),
		[]string{"UserServicePasswordGuessing/warning"},
	},
	{
		"most logins meet a backoff", "20m", both(logins("success", "0+10x30"), logins("too-many-requests", "0+90x30")),
		[]string{"UserServicePasswordGuessing/warning"},
	},
	{"some logins have a wrong password", "20m", both(logins("success", "0+70x30"), logins("invalid-credentials", "0+30x30")), nil},
	{
		"the only login of a night has a wrong password", "20m",
		both(logins("success", "0x30"), logins("invalid-credentials", "0+1x30")), nil,
	},
	{
		"many refresh tokens are reused", "90m", one(`user_service_refresh_token_reuses_total{@}`, "0+1x100"),
		[]string{"UserServiceRefreshTokensReused/warning"},
	},
	{
		"an administrator removes many second factors", "90m", one(`user_service_factors_removed_total{@,by="other"}`, "0+1x100"),
		[]string{"UserServiceFactorsRemoved/warning"},
	},
	{
		"users of two pods remove many second factors", "90m", both(
			one(`user_service_factors_removed_total{@,by="user"}`, "0x60 0+1x15 15x20"),
			one(`user_service_factors_removed_total{namespace="identity",job="user-service",pod="b",by="user"}`, "0x60 0+1x15 15x20"),
		), []string{"UserServiceFactorsRemoved/warning"},
	},
	{
		"a few second factors are removed", "90m", both(
			one(`user_service_factors_removed_total{@,by="user"}`, "0x50 1 4 9 14 15x40"),
			one(`user_service_factors_removed_total{@,by="other"}`, "0x50 1 4 9 14 15x40"),
		), nil,
	},
	{"many second factors were removed, but hours ago", "3h", one(`user_service_factors_removed_total{@,by="other"}`, "0+1x60 60x130"), nil},
	{"a few refresh tokens are reused", "90m", one(`user_service_refresh_token_reuses_total{@}`, "0x50 1 2 3 4 5x90"), nil},
	{
		"a third of the requests is refused by a limit", "20m", both(
			answers("/users/{id}", "200", "0+400x30", "0+400x30", "0.25"),
			both(answers("/login", "429", "0+200x30", "0+200x30", "1"),
				one(`user_service_rate_limited_total{@,policy="address"}`, "0+200x30")),
		), []string{"UserServiceRequestsRateLimited/warning"},
	},
	{
		"a twentieth of the requests is refused by a limit", "20m", both(
			answers("/users/{id}", "200", "0+1900x30", "0+1900x30", "0.25"),
			both(answers("/login", "429", "0+100x30", "0+100x30", "1"),
				one(`user_service_rate_limited_total{@,policy="address"}`, "0+100x30")),
		), nil,
	},
	{
		"a limit refuses a few requests of a night", "20m", both(
			answers("/login", "429", "0+2x30", "0+2x30", "1"), one(`user_service_rate_limited_total{@,policy="address"}`, "0+2x30"),
		), nil,
	},

	// While the database is unavailable, all pods are unready. So no requests arrive, and the metrics from the database are absent.
	{
		"the database is unavailable", "175m", both(
			both(
				answers("/users/{id}", "200", "0+3000x10 30000x200", "0+3000x10 30000x200", "0.25"),
				one(`user_service_ready{@,check="schema"}`, "1x10 0x200"),
			),
			one(`user_service_ready{@,check="database"}`, "1x10 0x200"),
		), []string{"UserServiceNotReady/critical"},
	},
	{"all checks succeed", "30m", both(one(`user_service_ready{@,check="schema"}`, "1x40"),
		one(`user_service_ready{@,check="database"}`, "1x40")), nil},
	{
		"one of two pods is not ready", "30m", both(
			one(`user_service_ready{@,check="database"}`, "0x40"),
			one(`user_service_ready{namespace="identity",job="user-service",pod="b",check="database"}`, "1x40"),
		), []string{"UserServiceNotReady/warning"},
	},
	{
		"one of two pods shuts down", "10m", both(
			one(`user_service_ready{@,check="shutdown"}`, "0x40"),
			one(`user_service_ready{namespace="identity",job="user-service",pod="b",check="shutdown"}`, "1x40"),
		), nil,
	},
	{
		"no queue accepts a reset", "10m", one(`user_service_events_unroutable_total{@,type="user.password_reset_requested"}`, "0x3 1x20"),
		[]string{"UserServiceTokensUnroutable/critical"},
	},
	{"no queue accepts a login", "10m", one(`user_service_events_unroutable_total{@,type="user.logged_in"}`, "0x3 1x20"), nil},
	{
		"passwords are refused", "15m",
		both(
			one(`user_service_password_hash_refused_total{@,reason="timeout"}`, "0+20x20"),
			one(`user_service_password_hash_duration_seconds_count{@}`, "0+600x20"),
		),
		[]string{"UserServiceHashingSaturated/warning"},
	},
	{
		"few passwords are refused", "15m",
		both(
			one(`user_service_password_hash_refused_total{@,reason="timeout"}`, "0+1x20"),
			one(`user_service_password_hash_duration_seconds_count{@}`, "0+600x20"),
		),
		nil,
	},
	{
		"no connection is free", "10m",
		both(
			one(`db_client_connection_count{@,db_client_connection_state="used"}`, "10x20"), one(`db_client_connection_max{@}`, "10x20"),
		),
		[]string{"UserServiceDatabasePoolExhausted/warning"},
	},
	{
		"some connections are free", "10m",
		both(one(`db_client_connection_count{@,db_client_connection_state="used"}`, "8x20"), one(`db_client_connection_max{@}`, "10x20")),
		nil,
	},
	{"the broker is unavailable", "10m", one(`user_service_rabbitmq_connected{@}`, "1x3 0x10"), []string{"UserServiceBrokerAway/warning"}},
	{"the broker is available again", "10m", one(`user_service_rabbitmq_connected{@}`, "1x3 0x3 1x10"), nil},
	{
		"the schema is old", "15m",
		both(one(`user_service_schema_version{@}`, "3x20"), one(`user_service_schema_version_required{@}`, "4x20")),
		[]string{"UserServiceSchemaBehind/warning"},
	},
	{
		"the schema is old and no pod is ready", "15m", both(
			both(one(`user_service_schema_version{@}`, "3x20"), one(`user_service_schema_version_required{@}`, "4x20")),
			one(`user_service_ready{@,check="schema"}`, "0x20"),
		), []string{"UserServiceNotReady/critical", "UserServiceSchemaBehind/critical"},
	},
	{
		"the schema is newer", "15m",
		both(one(`user_service_schema_version{@}`, "5x20"), one(`user_service_schema_version_required{@}`, "4x20")), nil,
	},
	{"no pod answers", "20m", one(`up{@}`, "0x30"), []string{"UserServiceDown/critical"}},
	{"no pod exists any more", "30m", one(`up{@}`, "1x5 stale"), []string{"UserServiceDown/critical"}},
	{"nothing has ever been scraped", "20m", one(`up{namespace="other",job="user-service"}`, "1x30"), nil},
	{"one of two pods answers", "4m", both(one(`up{@}`, "0x10"), one(`up{namespace="identity",job="user-service",pod="b"}`, "1x10")), nil},
	{
		"one of two pods has not answered for long", "20m",
		both(one(`up{@}`, "0x30"), one(`up{namespace="identity",job="user-service",pod="b"}`, "1x30")),
		[]string{"UserServicePodUnreachable/warning"},
	},
	{
		"a pod that did not answer is gone", "20m",
		both(one(`up{@}`, "1x5 0x3 stale"), one(`up{namespace="identity",job="user-service",pod="b"}`, "1x30")), nil,
	},
	{
		"a pod is slow to start", "20m",
		both(one(`up{@}`, "_x5 0x3 1x20"), one(`up{namespace="identity",job="user-service",pod="b"}`, "1x30")), nil,
	},
	{
		"a pod starts again and again", "12m",
		one(`process_start_time_seconds{@}`, "0 0 100 100 200 200 _ 400 600 600 600 600 600 600"),
		[]string{"UserServiceCrashLoop/warning"},
	},
	{
		"the clock of a node is corrected again and again", "12m",
		one(`process_start_time_seconds{@}`, "100 101 100 102 101 100 99 100 101 100 102 101 100 99"), nil,
	},
	{"a pod starts", "12m", one(`process_start_time_seconds{@}`, "0 0 100x20"), nil},
	{
		"an old key signs", "3h", one(`user_service_token_key_since_timestamp_seconds{@,kid="k",use="sign"}`, "-29000000x300"),
		[]string{"UserServiceKeyNearItsEnd/warning"},
	},
	{"an old key is accepted", "3h", one(`user_service_token_key_since_timestamp_seconds{@,kid="k",use="accept"}`, "-29000000x300"), nil},
	{"a secret is rejected", "10m", one(`user_service_secrets_reload_failed{@}`, "1x20"), []string{"UserServiceSecretRejected/warning"}},
	{
		"the mail server is unavailable", "20m", one(`user_service_mailer_smtp_available{+}`, "1x3 0x30"),
		[]string{"UserServiceMailsNotSent/critical"},
	},
	{"the mail server was unavailable for some minutes", "20m", one(`user_service_mailer_smtp_available{+}`, "1x3 0x8 1x30"), nil},
	{
		"the mail server is available to one of two mailers", "20m", both(
			one(`user_service_mailer_smtp_available{+}`, "0x30"),
			one(`user_service_mailer_smtp_available{namespace="identity",job="user-service-mailer",pod="n"}`, "1x30"),
		), nil,
	},
	{
		"no mailer is connected to the broker", "20m",
		one(`user_service_mailer_rabbitmq_connected{+,queue="user_service.mail"}`, "1x3 0x30"),
		[]string{"UserServiceMailsNotSent/critical"},
	},
	{
		"no mailer gets the urgent events", "20m", both(
			one(`user_service_mailer_rabbitmq_connected{+,queue="user_service.mail"}`, "1x30"),
			one(`user_service_mailer_rabbitmq_connected{+,queue="user_service.mail.urgent"}`, "1x3 0x30"),
		), []string{"UserServiceMailsNotSent/critical"},
	},
	{
		"urgent mails wait", "20m", both(
			one(`user_service_mailer_wait_seconds{+,queue="user_service.mail.urgent"}`, "0x3 301x30"),
			one(`user_service_mailer_wait_seconds{+,queue="user_service.mail"}`, "300x30"),
		), []string{"UserServiceMailsDelayed/critical"},
	},
	{
		"other mails wait", "20m", both(
			one(`user_service_mailer_wait_seconds{+,queue="user_service.mail.urgent"}`, "300x30"),
			one(`user_service_mailer_wait_seconds{+,queue="user_service.mail"}`, "0x3 301x30"),
		), []string{"UserServiceMailsDelayed/warning"},
	},
	{
		"mails had waited for some minutes", "20m",
		one(`user_service_mailer_wait_seconds{+,queue="user_service.mail.urgent"}`, "0x3 3000x4 0 3000x4 0x30"), nil,
	},
	{"no mailer answers", "20m", one(`up{+}`, "0x30"), []string{"UserServiceMailsNotSent/critical"}},
	{
		"no mailer exists", "20m", one(`up{namespace="other",job="user-service-mailer"}`, "1x30"),
		[]string{"UserServiceMailsNotSent/critical"},
	},
	{
		"many mails are parked", "20m", both(
			one(`user_service_mailer_queue_messages{+,queue="user_service.mail",state="parked"}`, "3x3 8x30"),
			one(`user_service_mailer_queue_messages{+,queue="user_service.mail.urgent",state="parked"}`, "0x3 3x30"),
		), []string{"UserServiceMailsParked/warning"},
	},
	{
		"a few mails are parked, and many wait", "20m", both(
			one(`user_service_mailer_queue_messages{+,queue="user_service.mail",state="parked"}`, "10x30"),
			one(`user_service_mailer_queue_messages{+,queue="user_service.mail",state="retrying"}`, "100x30"),
		), nil,
	},
	{
		"a certificate expires in 12 days", "2h", one(`user_service_certificate_expiry_timestamp_seconds{@,use="database_client"}`,
			"1036800x200"),
		[]string{"UserServiceCertificateNearExpiry/warning"},
	},
	{
		"a certificate expires in 15 days", "2h", one(`user_service_certificate_expiry_timestamp_seconds{@,use="database_client"}`,
			"1303200x200"),
		nil,
	},
	{
		"each cleanup fails", "90m",
		both(one(`user_service_cleanup_runs_total{@,result="failure"}`, "0+1x100"),
			one(`user_service_cleanup_runs_total{@,result="success"}`, "7x100")),
		[]string{"UserServiceCleanupFails/warning"},
	},
	{
		"each second cleanup fails", "90m",
		both(one(`user_service_cleanup_runs_total{@,result="failure"}`, "0+1x100"),
			one(`user_service_cleanup_runs_total{@,result="success"}`, "0+1x100")),
		nil,
	},
	{
		"the migration failed", "10m",
		one(`kube_job_failed{namespace="identity",job_name="user-service-migrate-0a1b2c3d4e",condition="true"}`, "0x3 1x20"),
		[]string{"UserServiceMigrationFailed/warning"},
	},
	{"another Job failed", "10m", one(`kube_job_failed{namespace="identity",job_name="user-service-other",condition="true"}`, "1x20"), nil},
	{
		"the memory is almost used up", "30m", both(
			one(`container_memory_working_set_bytes{namespace="identity",pod="user-service-5d6f-x2x2x",container="user-service"}`, "95x40"),
			one(`kube_pod_container_resource_limits{namespace="identity",pod="user-service-5d6f-x2x2x",`+
				`container="user-service",resource="memory"}`,
				"100x40"),
		), []string{"UserServiceMemoryNearLimit/warning"},
	},
	{
		"half of the memory is used", "30m", both(
			one(`container_memory_working_set_bytes{namespace="identity",pod="user-service-5d6f-x2x2x",container="user-service"}`, "50x40"),
			one(`kube_pod_container_resource_limits{namespace="identity",pod="user-service-5d6f-x2x2x",`+
				`container="user-service",resource="memory"}`,
				"100x40"),
		), nil,
	},
	{
		"the autoscaler is at its maximum", "50m", both(
			one(`kube_horizontalpodautoscaler_status_current_replicas{namespace="identity",horizontalpodautoscaler="user-service"}`,
				"10x60"),
			one(`kube_horizontalpodautoscaler_spec_max_replicas{namespace="identity",horizontalpodautoscaler="user-service"}`, "10x60"),
		), []string{"UserServiceAutoscalerAtMaximum/warning"},
	},
	{
		"the autoscaler can add a pod", "50m", both(
			one(`kube_horizontalpodautoscaler_status_current_replicas{namespace="identity",horizontalpodautoscaler="user-service"}`,
				"9x60"),
			one(`kube_horizontalpodautoscaler_spec_max_replicas{namespace="identity",horizontalpodautoscaler="user-service"}`, "10x60"),
		), nil,
	},
	{"no secret is rejected", "10m", one(`user_service_secrets_reload_failed{@}`, "0x20"), nil},
}

func TestAlertsFireAndStaySilent(t *testing.T) {
	t.Parallel()
	rules, _ := ruleFile(t)
	tool(t, "promtool", "check", "rules", rules)
	runStories(t, rules, story.expectAlerts)
}

// runStories evaluates the tests of each story after its scrapes.
func runStories(t *testing.T, rules string, expect func(story) []any) {
	t.Helper()
	// Tests by scrape interval. A story of days has one scrape in two minutes, which is enough for rates over 5 minutes.
	tests := map[string][]any{}
	for _, s := range stories {
		interval := "1m"
		if s.at == days {
			interval = "2m"
		}
		tests[interval] = append(tests[interval], map[string]any{
			"name": s.name, "interval": interval, "input_series": s.series(), "promql_expr_test": expect(s),
		})
	}
	for interval, all := range tests {
		evaluation := interval
		if interval == "2m" {
			evaluation = "5m"
		}
		text, err := yaml.Marshal(map[string]any{
			"rule_files": []string{rules}, "evaluation_interval": evaluation, "tests": all,
			// Alerts run after their recording rules, because the results of these rules would otherwise be stale at long intervals.
			"group_eval_order": []string{release + "-slo", release + "-budget", release + "-symptoms"},
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "test.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "promtool", "test", "rules", file)
	}
}

// TestBudgetLeft computes the remaining budget of 30 days for a constant error rate.
func TestBudgetLeft(t *testing.T) {
	t.Parallel()
	rules, _ := ruleFile(t)
	for _, s := range []struct {
		name, bad string
		left      float64
		good      map[string]string
	}{
		{"half the budget is used", "0+1x4000", 0.5, answers("/users/{id}", "200", "0+1999x4000", "0+1999x4000", "0.25")},
		{"twice the budget is used", "0+4x4000", -1, answers("/users/{id}", "200", "0+1996x4000", "0+1996x4000", "0.25")},
	} {
		text, err := yaml.Marshal(map[string]any{
			"rule_files": []string{rules}, "evaluation_interval": "10m", "tests": []any{map[string]any{
				"name": s.name, "interval": "1m", "input_series": input(both(s.good, answers("/users/{id}", "503", s.bad, s.bad, "0.25"))),
				"promql_expr_test": []any{map[string]any{
					"expr": `round(job:http_server_error_budget_left:ratio30d, 0.01)`, "eval_time": "60h",
					"exp_samples": []any{map[string]any{"labels": `{namespace="identity",job="user-service"}`, "value": s.left}},
				}, map[string]any{
					"expr": `job:http_server_latency_budget_left:ratio30d`, "eval_time": "60h",
					"exp_samples": []any{
						map[string]any{
							"labels": `job:http_server_latency_budget_left:ratio30d{namespace="identity",job="user-service"}`,
							"value":  1,
						},
					},
				}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "test.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "promtool", "test", "rules", file)
	}
}

// series returns the scrapes of the story. All pods are up, unless the story has its own series of up.
func (s story) series() []map[string]string {
	series := []map[string]string{}
	if s.input["up{@}"] == "" && s.name != "nothing has ever been scraped" {
		series = append(series, map[string]string{"series": pod("up{@}"), "values": "1x5000"})
	}
	if s.input["up{+}"] == "" && s.name != "no mailer exists" {
		series = append(series, map[string]string{"series": pod("up{+}"), "values": "1x5000"})
	}
	return append(series, input(s.input)...)
}

// expectAlerts returns a test of promtool. Other alerts must not fire.
func (s story) expectAlerts() []any {
	firing := []map[string]any{}
	for _, alert := range s.fires {
		name, severity, _ := strings.Cut(alert, "/")
		firing = append(firing, map[string]any{"labels": fmt.Sprintf("{alertname=%q,severity=%q}", name, severity), "value": 1})
	}
	return []any{map[string]any{
		"expr":      `group by (alertname, severity) (ALERTS{alertstate="firing"})`,
		"eval_time": s.at, "exp_samples": firing,
	}}
}

// input returns series in promtool's format.
func input(values map[string]string) []map[string]string {
	var out []map[string]string
	for name, value := range values {
		out = append(out, map[string]string{"series": pod(name), "values": value})
	}
	return out
}

func pod(series string) string {
	return strings.NewReplacer(
		"@", `namespace="identity",job="user-service",pod="a"`, "+", `namespace="identity",job="user-service-mailer",pod="m"`,
	).Replace(series)
}

func TestEveryAlertLeadsToARunbookAndADashboard(t *testing.T) {
	t.Parallel()
	_, rules := ruleFile(t)
	known := map[string]bool{}
	for _, d := range dashboards(t) {
		known[d.UID] = true
	}
	alerts := map[string]bool{}
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		alerts[r.Alert] = true
		runbook := filepath.Join("docs/runbooks", r.Alert+".md")
		if _, err := os.Stat(runbook); err != nil || !strings.HasSuffix(r.Annotations["runbook_url"], "/"+runbook) {
			t.Errorf("%s has the runbook %q: %v", r.Alert, r.Annotations["runbook_url"], err)
		}
		_, rest, _ := strings.Cut(r.Annotations["dashboard_url"], "/d/")
		if uid, _, _ := strings.Cut(rest, "?"); !known[uid] {
			t.Errorf("%s has the dashboard %q, which the chart does not contain", r.Alert, uid)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" || r.For == "" {
			t.Errorf("%s has no summary, description, severity or duration: %+v", r.Alert, r)
		}
	}
	told := map[string]bool{}
	for _, s := range stories {
		for _, alert := range s.fires {
			name, _, _ := strings.Cut(alert, "/")
			told[name] = true
		}
	}
	for alert := range alerts {
		if !told[alert] {
			t.Errorf("no story fires %s", alert)
		}
	}
	err := filepath.WalkDir("docs/runbooks", func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimSuffix(entry.Name(), ".md")
		if !entry.IsDir() && name != "README" && !alerts[name] {
			err = errors.Join(err, fmt.Errorf("%s does not belong to an alert", path))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
