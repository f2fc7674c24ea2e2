package observability_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

const password = "seven green kettles sing"

// use sends some of each kind of request, with mistakes and a reuse of a refresh token.
func (s *stage) use() {
	s.t.Helper()
	account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
	s.call(http.MethodPost, "/register", "", account)
	s.call(http.MethodPost, "/register", "", account) // the email is taken
	_, pair := s.call(http.MethodPost, "/login", "", account)
	first := map[string]any{"refresh_token": pair["refresh_token"]}
	access, _ := pair["access_token"].(string)
	for range 2 {
		_, next := s.call(http.MethodPost, "/refresh", "", first)
		s.call(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": next["refresh_token"]})
	}
	s.call(http.MethodGet, "/users/me", access, nil)
	s.call(http.MethodGet, "/nowhere", "", nil)
	s.call(http.MethodGet, "/healthz", "", nil)
	for range 6 {
		s.call(http.MethodPost, "/login", "", map[string]any{"email": account["email"], "password": "wrong " + password})
	}
	s.call(http.MethodDelete, "/users/me", access, nil)
}

// suffer disconnects the broker and the database, and waits until Prometheus has recorded both.
func (s *stage) suffer() {
	s.t.Helper()
	s.broker.set(true)
	s.use()
	s.await("an old event and no broker", func() bool {
		return len(s.values(`user_service_rabbitmq_connected == 0 and user_service_outbox_oldest_event_age_seconds > 1`)) > 0
	})
	s.database.set(true)
	s.await("server errors and unknown schema", func() bool {
		s.call(http.MethodPost, "/login", "", map[string]any{"email": "a@example.com", "password": password})
		return len(s.values(`increase(http_server_request_duration_seconds_count{http_response_status_code="503"}[1m]) > 0
			and on () (user_service_schema_scrape_errors_total > 0)`)) > 0
	})
	s.broker.set(false)
	s.database.set(false)
	s.await("a healthy service", func() bool {
		return len(s.values(`user_service_rabbitmq_connected == 1 and user_service_outbox_oldest_event_age_seconds == 0`)) > 0
	})
}

func TestPanelsAndRulesQueryExistingMetrics(t *testing.T) {
	t.Parallel()
	file, rules := ruleFile(t)
	s := newStage(t, withPointsOfDays(t, file))
	s.await("a ready service", func() bool { status, _ := s.call(http.MethodGet, "/readyz", "", nil); return status == http.StatusOK })
	s.use()
	s.suffer()
	s.use()

	asked := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				query := filled(target.Expr)
				if foreign(query) {
					s.parse(query, asked)
					continue
				}
				s.await(fmt.Sprintf("data of %s / %s: %s", d.Title, p.Title, query), func() bool {
					if strings.Contains(query, "rate(") {
						s.use() // rates need continuing traffic
					}
					return len(s.values(query)) > 0
				})
				s.parse(query, asked)
			}
		}
		for _, a := range d.Annotations.List {
			s.parse(filled(a.Target.Expr), asked)
		}
	}
	for _, r := range rules {
		s.parse(r.Expr, asked)
	}
	s.checkUnused(asked)
	s.checkRandomPaths()
}

// withPointsOfDays changes a file of rules. The rules for windows of days are evaluated only every five minutes, so they would have no data
// during a test.
func withPointsOfDays(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("[1d:5m]", "[1d:30s]", "[3d:5m]", "[3d:30s]").Replace(string(text)))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// filled replaces a dashboard's variables in a query.
func filled(query string) string {
	return strings.NewReplacer(
		"$cluster", ".*", "$namespace", namespace, "$job", release, "$pod", ".*", "$__rate_interval", "10s",
	).Replace(query)
}

// foreign reports whether a query reads metrics of kube-state-metrics or of the kubelet.
func foreign(query string) bool {
	return strings.Contains(query, "kube_") || strings.Contains(query, "container_")
}

// parse adds the metrics of a query to asked, and fails for a label that a metric does not have.
func (s *stage) parse(query string, asked map[string]bool) {
	s.t.Helper()
	var node map[string]any
	if err := s.ask("parse_query", url.Values{"query": {query}}, &node); err != nil {
		s.t.Errorf("%s: %v", query, err)
		return
	}
	s.walk(query, node, nil, asked)
}

// walk visits a part of a query. by are the labels that the enclosing parts group by.
func (s *stage) walk(query string, node map[string]any, by []string, asked map[string]bool) {
	if grouping, ok := node["grouping"].([]any); ok {
		by = nil // enclosing parts see only the labels that are kept here
		for _, label := range grouping {
			by = append(by, fmt.Sprint(label))
		}
	}
	if name, ok := node["name"].(string); ok && strings.HasSuffix(fmt.Sprint(node["type"]), "Selector") {
		labels := slices.Clone(by)
		matchers, _ := node["matchers"].([]any)
		for _, m := range matchers {
			if matcher, ok := m.(map[string]any); ok && matcher["name"] != "__name__" {
				labels = append(labels, fmt.Sprint(matcher["name"]))
			}
		}
		asked[name] = true
		s.checkLabels(query, name, labels)
		return
	}
	for _, child := range node {
		switch c := child.(type) {
		case map[string]any:
			s.walk(query, c, by, asked)
		case []any:
			for _, one := range c {
				if m, ok := one.(map[string]any); ok {
					s.walk(query, m, by, asked)
				}
			}
		}
	}
}

func (s *stage) checkLabels(query, metric string, labels []string) {
	s.t.Helper()
	if strings.HasPrefix(metric, "kube_") || strings.HasPrefix(metric, "container_") {
		return // kube-state-metrics and the kubelet
	}
	var series []map[string]string
	if err := s.ask("series", url.Values{"match[]": {metric}}, &series); err != nil || len(series) == 0 {
		s.t.Errorf("the service does not have %s, which a query uses: %s: %v", metric, query, err)
		return
	}
	for _, label := range labels {
		if !slices.ContainsFunc(series, func(one map[string]string) bool { return one[label] != "" }) {
			s.t.Errorf("%s has no label %s, which a query uses: %s", metric, label, query)
		}
	}
}

// checkUnused fails for a metric of the service that no query uses.
func (s *stage) checkUnused(asked map[string]bool) {
	s.t.Helper()
	var names []string
	if err := s.ask("label/__name__/values", nil, &names); err != nil {
		s.t.Fatal(err)
	}
	used := map[string]bool{}
	for name := range asked {
		used[family(name)] = true
	}
	for _, name := range names {
		ours := strings.HasPrefix(name, "user_service_") || strings.HasPrefix(name, "http_") || strings.HasPrefix(name, "db_")
		usual := strings.HasPrefix(name, "user_service_hashing_process_") // Prometheus' standard metrics of a process
		if ours && !usual && !used[family(name)] {
			s.t.Errorf("no panel and no rule uses %s", name)
		}
	}
}

// family returns the name of a histogram or a summary without the suffix of its part. OpenTelemetry's db_client_connection_count
// has no parts.
func family(name string) string {
	if name == "db_client_connection_count" {
		return name
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, part)
	}
	return name
}

// checkRandomPaths checks that the number of series stays the same while clients request random paths.
func (s *stage) checkRandomPaths() {
	s.t.Helper()
	ask := func() {
		s.call(http.MethodGet, "/"+rand.Text(), "", nil)
		s.call(http.MethodGet, "/users/"+rand.Text(), "", nil)
		s.call(http.MethodPost, "/login/"+rand.Text(), "", nil)
	}
	ask()
	before := s.series()
	for range 1000 {
		ask()
	}
	if after := s.series(); after != before {
		s.t.Errorf("1000 random paths change the number of series from %[2]d to %[1]d", after, before)
	}
}

// series returns the number of the service's request series.
func (s *stage) series() int { return strings.Count(s.exposition(), "\nhttp_server_") }

// exposition returns all current metrics of the service.
func (s *stage) exposition() string {
	s.t.Helper()
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
