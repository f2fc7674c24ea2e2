package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const pngStart = "\x89PNG\r\n\x1a\n"

// fake answers as Grafana does, and records the requests. It cannot show whether a real Grafana accepts them.
type fake struct {
	*httptest.Server

	answers  map[string]string // by method and path. A number is the status of an answer without a body.
	requests []string          // Method, path and credentials.
	query    url.Values        // of the last picture
	saved    map[string]any    // the last dashboard
}

func newFake(t *testing.T, answers map[string]string) *fake {
	t.Helper()
	const dashboard = "/d/user-service-service/user-service-service"
	f := &fake{answers: map[string]string{
		"GET /api/frontend/settings":                     `{"rendererAvailable":true}`,
		"PUT /api/datasources/uid/user-service-pictures": `{"message":"Datasource updated"}`,
		"POST /api/dashboards/db":                        `{"uid":"user-service-service","url":"` + dashboard + `"}`,
		"GET /render" + dashboard:                        pngStart,
	}}
	for request, answer := range answers {
		f.answers[request] = answer
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := r.Method + " " + r.URL.Path
		f.requests = append(f.requests, request+" "+r.Header.Get("Authorization"))
		body, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(r.URL.Path, "/render/") {
			f.query = r.URL.Query()
		}
		if request == "POST /api/dashboards/db" {
			_ = json.Unmarshal(body, &f.saved)
		}
		var status int
		if _, err := fmt.Sscanf(f.answers[request], "%d", &status); err == nil {
			http.Error(w, `{"message":"refused"}`, status)
			return
		}
		_, _ = io.WriteString(w, f.answers[request])
	}))
	t.Cleanup(f.Close)
	return f
}

// drawWith draws a dashboard with two rows, and returns the directory of the pictures.
func drawWith(t *testing.T, server string) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	file := filepath.Join(dir, "service.json")
	const dashboard = `{"uid":"user-service-service","title":"Service","panels":[
		{"type":"row","title":"First","gridPos":{"x":0,"y":0,"w":24,"h":1}},
		{"type":"stat","title":"Pods","gridPos":{"x":0,"y":1,"w":4,"h":4}},
		{"type":"row","title":"Second","gridPos":{"x":0,"y":5,"w":24,"h":1}}]}`
	if err := os.WriteFile(file, []byte(dashboard), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings{
		prometheus: "http://127.0.0.1:9090", last: time.Minute, until: time.Unix(1000, 0), out: dir, first: true,
		variables: map[string]string{"cluster": ".*", "namespace": "identity"},
	}
	return dir, s.drawAll(t.Context(), server, []string{file})
}

func TestGrafanaDraws(t *testing.T) {
	t.Setenv("GRAFANA_TOKEN", "glsa_example")
	f := newFake(t, nil)
	dir, err := drawWith(t, f.URL)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /api/frontend/settings Bearer glsa_example",
		"PUT /api/datasources/uid/user-service-pictures Bearer glsa_example",
		"POST /api/dashboards/db Bearer glsa_example",
		"GET /render/d/user-service-service/user-service-service Bearer glsa_example",
	}
	if diff := cmp.Diff(want, f.requests); diff != "" {
		t.Errorf("the requests (-want +got):\n%s", diff)
	}
	query := url.Values{
		"from": {"940000"}, "to": {"1000000"}, "width": {"1680"}, "height": {"248"}, "kiosk": {""}, "theme": {"dark"}, "tz": {"UTC"},
		"timeout": {"60"}, "var-datasource": {"user-service-pictures"}, "var-namespace": {"identity"},
	}
	if diff := cmp.Diff(query, f.query); diff != "" {
		t.Errorf("the query of the picture (-want +got):\n%s", diff)
	}
	dashboard, _ := f.saved["dashboard"].(map[string]any)
	panels, _ := dashboard["panels"].([]any)
	if id, given := dashboard["id"]; id != nil || !given || f.saved["overwrite"] != true || len(panels) != 2 {
		t.Errorf("the dashboard is saved as %v", f.saved)
	}
	picture, err := os.ReadFile(filepath.Join(dir, "service.png"))
	if err != nil || string(picture) != pngStart {
		t.Errorf("the picture is %q: %v", picture, err)
	}
}

func TestGrafanaGetsADataSource(t *testing.T) {
	f := newFake(t, map[string]string{
		"PUT /api/datasources/uid/user-service-pictures": "404", "POST /api/datasources": `{"message":"Datasource added"}`,
	})
	if _, err := drawWith(t, strings.Replace(f.URL, "//", "//admin:secret@", 1)); err != nil {
		t.Fatal(err)
	}
	if got := f.requests[2]; got != "POST /api/datasources Basic YWRtaW46c2VjcmV0" {
		t.Errorf("the third request is %s", got)
	}
}

func TestGrafanaRefuses(t *testing.T) {
	t.Parallel()
	const render = "GET /render/d/user-service-service/user-service-service"
	for _, tc := range []struct{ request, answer, want string }{
		{"GET /api/frontend/settings", `{"rendererAvailable":false}`, "no image renderer"},
		{"GET /api/frontend/settings", "401", `GET /api/frontend/settings: Grafana answers 401`},
		{"PUT /api/datasources/uid/user-service-pictures", "500", "Grafana answers 500"},
		{"POST /api/dashboards/db", "502", `service.json: POST /api/dashboards/db: Grafana answers 502: {"message":"refused"}`},
		{"POST /api/dashboards/db", "<html>", "POST /api/dashboards/db: invalid character"},
		{render, "500", render + ": Grafana answers 500"},
		{render, "<html>", "is not a PNG"},
	} {
		f := newFake(t, map[string]string{tc.request: tc.answer})
		if _, err := drawWith(t, f.URL); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %s: the error is %v, want %q in it", tc.request, tc.answer, err, tc.want)
		}
	}
	if _, err := drawWith(t, "grafana.example.com"); err == nil || !strings.Contains(err.Error(), "is not a URL") {
		t.Errorf("without a scheme: %v", err)
	}
}
