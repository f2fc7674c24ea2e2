package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a mail in the format of the command `user-service mail`.
const sample = "Date: Mon, 30 Nov 2026 11:00:00 +0000\r\nSubject: =?UTF-8?q?Passwort_f=C3=BCr_Shop?=\r\nTo: <ada@example.com>\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\ntext\r\n" +
	"--b\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<a href=\"http://localhost/verify-email#token=t\">link</a>\r\n--b--\r\n"

// start serves a folder with one mail, and an API that answers with the path and the body of each request.
func start(t *testing.T) *httptest.Server {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "one.eml"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.URL.Path+" "+string(body))
	}))
	t.Cleanup(api.Close)
	target, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler(folder, target))
	t.Cleanup(server.Close)
	return server
}

// get returns the status and the body of a page.
func get(t *testing.T, address, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestMailsAndPagesOfTheirLinks(t *testing.T) {
	t.Parallel()
	server := start(t)
	for path, want := range map[string]string{
		"/":                           `<td>ada@example.com</td><td><a href="/mails/one">Passwort für Shop</a>`,
		"/mails/one":                  `<a href="http://localhost/verify-email#token=t">link</a>`,
		"/verify-email":               `data-request="/email-verification/confirm"`,
		"/reset-password":             `New password <input`,
		"/invitation":                 `data-request="/invitation/confirm"`,
		"/pages/link.js":              "location.hash",
		"/mails/..%2f..%2fetc%2fhost": "no such file",
	} {
		if _, body := get(t, server.URL+path, ""); !strings.Contains(body, want) {
			t.Errorf("%s lacks %s:\n%s", path, want, body)
		}
	}
	if status, _ := get(t, server.URL+"/favicon.ico", ""); status != http.StatusNoContent {
		t.Errorf("the icon gets the status %d, want 204: browsers report a missing icon as an error", status)
	}
	resp, err := http.Post(server.URL+"/email-verification/confirm", "application/json", strings.NewReader(`{"token":"t"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != `/email-verification/confirm {"token":"t"}` {
		t.Errorf("the API gets %s (error %v), want the path and the token", body, err)
	}
}

func TestAnotherHostIsRefused(t *testing.T) {
	t.Parallel()
	if status, _ := get(t, start(t).URL, "evil.example.com:8025"); status != http.StatusForbidden {
		t.Errorf("a request to another host gets the status %d, want 403", status)
	}
}
