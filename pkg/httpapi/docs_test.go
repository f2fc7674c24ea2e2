package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/url"
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
		short := s.call("POST", "/register", `{"email":"a@example.com","password":"x"}`).want(t, 422)
		refused := decode[struct{ Errors []user.FieldError }](t, short)
		if got := refused.Errors[0].Params["min"]; served != want || got != float64(want) {
			t.Errorf("a minimum of %d: the description states %d and the refusal %v, want %d", configured, served, got, want)
		}
	}
}

func TestDocsPagesHaveAContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range docsPages {
		got := s.call("GET", path, nil).want(t, 200)
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
				t.Errorf("%s: %s is %q, want %q", path, name, policy[name], sources)
			}
		}
		for name, value := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		} {
			if got.header.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), value)
			}
		}
		if inline := regexp.MustCompile(`<script>|<style|\son\w+=|\sstyle=`).Find(got.body); inline != nil {
			t.Errorf("%s contains %q, want nothing that its policy forbids", path, inline)
		}
	}
}

// docsPages are the pages about the API.
var docsPages = []string{"/docs", "/docs/events", "/docs/problems"}

// TestDocsPagesReferOnlyToServedFiles requests every file of the service that a page refers to. These references are relative, so the pages
// work below any prefix. A page loads nothing from other servers.
func TestDocsPagesReferOnlyToServedFiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range docsPages {
		page := s.call("GET", path, nil).want(t, 200)
		if external := regexp.MustCompile(`<(?:img|link|script)[^>]*(?:src|href)="(?:[a-z]+:|/)[^"]*"`).Find(page.body); external != nil {
			t.Errorf("%s loads %s, want a relative reference", path, external)
		}
		links := regexp.MustCompile(`(?:src|href)="([^"#]+)`).FindAllSubmatch(page.body, -1)
		if len(links) < 4 {
			t.Fatalf("%s refers to %d files, want at least 4", path, len(links))
		}
		for _, link := range links {
			reference, err := url.Parse(string(link[1]))
			if err != nil {
				t.Fatal(err)
			}
			if target := (&url.URL{Path: path}).ResolveReference(reference); target.Host == "" {
				checkServedFile(t, s, target.Path)
			}
		}
	}
}

func checkServedFile(t *testing.T, s *server, path string) {
	t.Helper()
	got := s.call("GET", path, nil).want(t, 200)
	if len(got.body) == 0 || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s has %d bytes and the header %v, want content and nosniff", path, len(got.body), got.header)
	}
	s.call("GET", path, nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304)
	head := s.call("HEAD", path, nil).want(t, 200)
	if len(head.body) != 0 {
		t.Errorf("HEAD %s returns %d bytes, want no body", path, len(head.body))
	}
}

// TestDocsPageLinksToOperations compares the links to operations with the tags and the ids in api/openapi.yaml.
func TestDocsPageLinksToOperations(t *testing.T) {
	t.Parallel()
	page := start(t).call("GET", "/docs", nil).want(t, 200)
	links := regexp.MustCompile(`href="#/(\w+)/(\w+)"`).FindAllSubmatch(page.body, -1)
	if len(links) != 3 {
		t.Errorf("the page has %d links to operations, want 3", len(links))
	}
	for _, link := range links {
		operation := `operationId: ` + string(link[2]) + `\n(?:(?:      .*)?\n)*?      tags: \[` + string(link[1]) + `\]\n`
		if !regexp.MustCompile(operation).Match(api.OpenAPI()) {
			t.Errorf("no operation %s has the tag %s", link[2], link[1])
		}
	}
}

// TestDocsPageReplacesPublishedPasswords checks that the page does not send the passwords of the examples in api/openapi.yaml, because the
// service refuses them.
func TestDocsPageReplacesPublishedPasswords(t *testing.T) {
	t.Parallel()
	script := string(start(t).call("GET", "/docs/init.js", nil).want(t, 200).body)
	passwords := regexp.MustCompile(`password: ([a-z][a-z ]+[a-z])[,}\n]`).FindAllSubmatch(api.OpenAPI(), -1)
	if len(passwords) < 5 {
		t.Errorf("the description has %d passwords, want at least 5", len(passwords))
	}
	for _, m := range passwords {
		if !strings.Contains(script, "replaceAll('"+string(m[1])+"'") {
			t.Errorf("the page does not replace %q", m[1])
		}
	}
}

// TestEveryProblemTypeHasAnAnchor checks that a link such as docs/problems#not-found leads to the row of /problems/not-found.
func TestEveryProblemTypeHasAnAnchor(t *testing.T) {
	t.Parallel()
	page := string(start(t).call("GET", "/docs/problems", nil).want(t, 200).body)
	types := regexp.MustCompile(`<code>/problems/([a-z-]+)</code></td>`).FindAllStringSubmatch(page, -1)
	if len(types) < 20 {
		t.Errorf("the page has %d problem types, want at least 20", len(types))
	}
	for _, m := range types {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("%s has no anchor", m[1])
		}
	}
}

func TestTheRootRedirectsToTheDocsPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, method := range []string{"GET", "HEAD"} {
		if got := s.call(method, "/", nil).want(t, 303).header.Get("Location"); got != "docs" {
			t.Errorf("%s /: Location is %q, want a reference that works below a prefix", method, got)
		}
	}
	s.call("POST", "/", nil).wantProblem(t, 405, "method-not-allowed")
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
		"gzip": true, "br, GZIP;q=0.5": true, "*": true, "gzip;q=0": false, "gzip;q=0.0, *": false, "br": false,
		"*;q=0": false, "gzipped": false,
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
	for _, path := range append(docsPages, "/", "/openapi.json", "/docs/init.js") {
		s.call("GET", path, nil).wantProblem(t, 404, "not-found")
	}
}
