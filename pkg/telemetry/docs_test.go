package telemetry_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"user-service/pkg/event"
	"user-service/pkg/mail"
	"user-service/pkg/postgres"
	"user-service/pkg/telemetry"
)

var update = flag.Bool("update", false, "write what is made from the metrics to docs/metrics.md")

const docs = "../../docs/metrics.md"

const introduction = `# Metrics

<!-- make generate writes this file from the metrics; a test fails if they differ. -->

` + "`GET /metrics`" + ` on ` + "`METRICS_ADDR`" + ` returns the metrics in Prometheus's text format, or in OpenMetrics with
exemplars. If the service records traces, the exemplars of the request and query histograms have the ` + "`trace_id`" + ` of
recent requests. Names and labels follow
[OpenTelemetry's semantic conventions](https://opentelemetry.io/docs/specs/semconv/) where these define them.

Labels have few, known values: routes are patterns, and unknown values are ` + "`_OTHER`" + `. Clients cannot create new
series. Counters exist with the value 0 before their first event, so that rates and alerts work from the first event on.
Metrics whose values come from a query of the database are absent while the database does not respond.
Counters end in ` + "`_total`" + ` and start at 0 with the process. A histogram has ` + "`_bucket`, `_sum` and `_count`" + `.

In addition to the metrics below, there are the standard metrics of the process (` + "`process_*`" + `), of Go (` + "`go_*`" + `) and
of the scrapes (` + "`promhttp_*`" + `). ` + "`user_service_hashing_process_*`" + ` are the process metrics of the hashing process.

## Service

`

const mailer = `
## Mailer

` + "`user-service mail`" + ` has metrics of its own on its ` + "`METRICS_ADDR`" + `.

`

const table = `| Metric | Kind | Labels | Meaning |
| --- | --- | --- | --- |
`

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	want := introduction + table + tableOf(t, exercised(t)) + mailer + table + tableOf(t, mailMetrics(t))
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	content, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("docs/metrics.md differs from the metrics; run: go test ./pkg/telemetry -update (-want +got):\n%s", diff)
	}
}

// exercised returns the metrics of the service after one request, so that the metrics of requests have series.
func exercised(t *testing.T) *telemetry.Metrics {
	t.Helper()
	var types []string
	for _, kind := range event.Types() {
		types = append(types, string(kind))
	}
	m := telemetry.NewMetrics("1.2.3", types, postgres.CleanedTables())
	m.Watch(sources())
	m.RequestStarted(t.Context(), http.MethodGet)("/users/{id}", http.StatusOK)
	return m
}

// mailMetrics returns the metrics of the mailer.
func mailMetrics(t *testing.T) *telemetry.MailMetrics {
	t.Helper()
	var kinds []string
	for _, kind := range mail.Kinds() {
		kinds = append(kinds, string(kind))
	}
	m := telemetry.NewMailMetrics("1.2.3", kinds, mail.Results())
	m.MailHandled("", mail.ResultUnneeded)
	for _, queue := range []string{"user_service.mail", "user_service.mail.urgent"} {
		m.Queue(queue).QueueLengths(0, 0, 0)
	}
	return m
}

// tableOf returns the rows of docs/metrics.md: one for each metric that the program itself defines.
func tableOf(t *testing.T, m handler) string {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(exposition(t, m, "text/plain").Body)
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") ||
			strings.HasPrefix(name, "user_service_hashing_process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		family := families[name]
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(family.GetType().String()),
			labelsOf(family), family.GetHelp())
	}
	return rows.String()
}

// labelsOf lists the labels of a family, with the values of each label that is not in open.
func labelsOf(family *dto.MetricFamily) string {
	values := map[string][]string{}
	for _, metric := range family.GetMetric() {
		for _, label := range metric.GetLabel() {
			values[label.GetName()] = append(values[label.GetName()], label.GetValue())
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := "`" + name + "`"
		if !open[name] {
			slices.Sort(values[name])
			text += ": " + strings.Join(slices.Compact(values[name]), ", ")
		}
		out = append(out, text)
	}
	return strings.Join(out, "<br>")
}

// open contains the labels whose values depend on the build, the requests or the keys.
var open = map[string]bool{
	"http_route": true, "http_response_status_code": true, "http_request_method": true, "error_type": true,
	"goversion": true, "revision": true, "version": true, "kid": true, "algorithm": true,
}
