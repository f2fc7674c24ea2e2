package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"

	"user-service/api"
	"user-service/pkg/user"
)

func init() { openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder) }

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("GET", "/openapi.json", nil).want(t, 200)
	want, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: 15})
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(got.body) || !bytes.Equal(got.body, want) || got.header.Get("Content-Type") != jsonType {
		t.Errorf("the description has the type %s and begins with %.100s, want api/openapi.yaml as JSON",
			got.header.Get("Content-Type"), got.body)
	}
	s.call("GET", "/openapi.json", nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304)
	for _, path := range []string{"/openapi.json", "/docs", "/docs/init.js"} {
		checkIfMatch(t, s, path)
	}
}

// TestTheDescriptionStatesThePasswordLength compares the served minimum length with the length that a refusal names.
func TestTheDescriptionStatesThePasswordLength(t *testing.T) {
	t.Parallel()
	for configured, want := range map[int]int{15: 15, 9: 9, 24: 24, 1: 8} {
		s := start(t, func(set *settings) { set.cfg.Passwords.MinLength = configured })
		served := decode[struct {
			Components struct {
				Schemas struct{ Password struct{ MinLength int } }
			}
		}](t, s.call("GET", "/openapi.json", nil).want(t, 200)).Components.Schemas.Password.MinLength
		refused := decode[struct{ Errors []user.FieldError }](t, s.call("POST", "/register", `{"email":"a@example.com","password":"x"}`).want(t, 422))
		if got := refused.Errors[0].Params["min"]; served != want || got != float64(want) {
			t.Errorf("a minimum of %d: the description states %d and the refusal %v, want %d", configured, served, got, want)
		}
	}
}

func TestDocsPageHasAContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("GET", "/docs", nil).want(t, 200)
	policy := map[string]string{}
	for directive := range strings.SplitSeq(got.header.Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	for name, sources := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:", "connect-src": "'self'",
		"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
	} {
		if policy[name] != sources {
			t.Errorf("%s is %q, want %q", name, policy[name], sources)
		}
	}
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
	} {
		if got.header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), value)
		}
	}
	if inline := regexp.MustCompile(`<script>|<style|\son\w+=|\sstyle=`).Find(got.body); inline != nil {
		t.Errorf("the page contains %q, want nothing that its policy forbids", inline)
	}
}

// TestDocsPageLoadsOnlyServedFiles requests every file that the page refers to. All references are relative, so the page works below any
// prefix and loads nothing from other servers.
func TestDocsPageLoadsOnlyServedFiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	page := s.call("GET", "/docs", nil).want(t, 200)
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(page.body, -1)
	if len(links) < 4 {
		t.Fatalf("the page refers to %d files, want at least 4", len(links))
	}
	for _, link := range links {
		path := string(link[1])
		if strings.HasPrefix(path, "/") || strings.Contains(path, ":") {
			t.Errorf("the page refers to %s, want a relative reference", path)
		}
		got := s.call("GET", "/"+path, nil).want(t, 200)
		if len(got.body) == 0 || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s has %d bytes and the header %v, want content and nosniff", path, len(got.body), got.header)
		}
		s.call("GET", "/"+path, nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304)
		head := s.call("HEAD", "/"+path, nil).want(t, 200)
		if len(head.body) != 0 {
			t.Errorf("HEAD %s returns %d bytes, want no body", path, len(head.body))
		}
	}
}

func TestDocsFilesAreCompressedOnRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	const path = "/docs/swagger-ui.css"
	plain := s.call("GET", path, nil, header("Accept-Encoding", "identity")).want(t, 200)
	if !strings.Contains(string(plain.body), ".swagger-ui") || plain.header.Get("Content-Encoding") != "" {
		t.Errorf("the header is %v and the body begins with %.60q, want the plain style sheet", plain.header, plain.body)
	}
	for accept, packed := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "*": true, "gzip;q=0": false, "gzip;q=0.0, *": false, "br": false, "*;q=0": false, "gzipped": false,
	} {
		got := s.call("GET", path, nil, header("Accept-Encoding", accept)).want(t, 200)
		if (got.header.Get("Content-Encoding") == "gzip") != packed || got.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: the header is %v, want gzip: %t, and Vary", accept, got.header, packed)
			continue
		}
		if packed {
			got.body = unpack(t, got.body)
		}
		if !bytes.Equal(got.body, plain.body) {
			t.Errorf("Accept-Encoding %q: the content differs from the plain file, want it equal", accept)
		}
		if same := got.header.Get("ETag") == plain.header.Get("ETag"); same == packed {
			t.Errorf("Accept-Encoding %q: the ETag is %s, want another one for each encoding", accept, got.header.Get("ETag"))
		}
	}
	etag := plain.header.Get("ETag")
	for tag, status := range map[string]int{"*": 304, "W/" + etag: 304, `"x", ` + etag: 304, `"x"`: 200} {
		s.call("GET", path, nil, header("If-None-Match", tag), header("Accept-Encoding", "identity")).want(t, status)
	}
}

func unpack(t *testing.T, body []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestDocsServesNoOtherPath(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{
		"/docs/", "/docs/index.html", "/docs/../docs", "/docs/swagger-ui.css.gz", "/docs/init.js/", "/docs//init.js",
	} {
		s.call("GET", path, nil).wantProblem(t, 404, "not-found")
	}
	s.call("POST", "/docs", nil).wantProblem(t, 405, "method-not-allowed")
}

func TestDocsCanBeDisabled(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.docs = false })
	for _, path := range []string{"/openapi.json", "/docs", "/docs/init.js"} {
		s.call("GET", path, nil).wantProblem(t, 404, "not-found")
	}
}
