package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// startForeigner serves an empty page for every host, and returns the URL for one of them.
func startForeigner(t *testing.T) func(host string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Another site</title><p>Another site")
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	return func(host string) string { return "https://" + host + ":" + port }
}

// TestAnotherSiteCanNotUseTheSession sends requests from a page of another site, and from a page of another origin on the same site. The
// browser adds the cookie with SameSite=Strict to the requests of the second page.
func TestAnotherSiteCanNotUseTheSession(t *testing.T) {
	foreign := startForeigner(t)
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		s.verify(t, user)
		p := newPerson(t, s.origin())
		p.logInAs(user.email, secret)
		evil := p.another()
		for _, site := range []string{foreign("shop.example.net"), foreign("blog.example.com")} {
			for _, path := range []string{"/bff/logout", "/bff/orders"} {
				evil.open(site)
				evil.do(submitTo(s.origin() + path))
				evil.see("cross-origin")
				if status := evil.value("performance.getEntriesByType('navigation')[0].responseStatus"); status != "403" {
					t.Errorf("a form of %s at %s gets %s, want 403", site, path, status)
				}
				evil.open(site)
				request := fmt.Sprintf("fetch('%s%s', {method: 'POST', credentials: 'include', body: '{\"item\":\"forged\"}', ", s.origin(),
					path)
				if got := evil.run(request + "mode: 'no-cors'}).then((r) => r.type)"); got != "opaque" {
					t.Errorf("a request of %s without CORS: %s", site, got)
				}
				if got := evil.run(request + "headers: {'X-Shop': '1'}})"); !strings.HasPrefix(got, "TypeError") {
					t.Errorf("a request of %s with CORS: %s", site, got)
				}
			}
		}
		p.open("/")
		p.see(user.email)
		if orders := p.run("fetch('/bff/orders', {headers: {'X-Shop': '1'}}).then((r) => r.text())"); !strings.Contains(orders,
			`"items":[]`) {
			t.Errorf("the orders: %s", orders)
		}
		if status := p.run("fetch('/bff/logout', {method: 'POST'}).then((r) => r.status)"); status != "403" {
			t.Errorf("a request without X-Shop gets %s, want 403", status)
		}
	})
}

// TestAPageOfAnotherOriginCallsTheAPI calls the API with a token, from a page of the allowed origin and from a page of another one.
func TestAPageOfAnotherOriginCallsTheAPI(t *testing.T) {
	foreign := startForeigner(t)
	inEachShop(t, foreign("app.example.org"), func(t *testing.T, s *shop) {
		user := s.logIn("user")
		p := newPerson(t, s.origin())
		login := fmt.Sprintf(`fetch('%s/auth/login', {method: 'POST', headers: {'Content-Type': 'application/json'},
			body: JSON.stringify({email: '%s', password: '%s'})}).then((r) => r.json())`, s.origin(), user.email, secret)
		call := func(path string) string {
			return fmt.Sprintf("%s.then((t) => fetch('%s%s', {headers: {Authorization: 'Bearer ' + t.access_token}}))",
				login, s.origin(), path)
		}
		p.open(foreign("app.example.org"))
		for script, want := range map[string]string{
			call("/api/orders") + ".then((r) => r.text())":                                               `{"items":[]}`,
			call("/auth/users/me") + ".then((r) => r.headers.get('ETag'))":                               `"1"`,
			"fetch('" + s.origin() + "/api/orders').then(async (r) => (await r.json()).status)":          "401",
			"fetch('" + s.origin() + "/bff/users/me', {headers: {'X-Shop': '1'}})":                       "TypeError: Failed to fetch",
			"fetch('" + s.origin() + "/bff/users/me', {credentials: 'include', mode: 'cors'})":           "TypeError: Failed to fetch",
			"fetch('" + s.origin() + "/auth/login', {method: 'POST', body: '{}'}).then((r) => r.status)": "415",
		} {
			if got := strings.TrimSpace(p.run(script)); got != want {
				t.Errorf("%s: %s, want %s", script, got, want)
			}
		}
		p.open(foreign("other.example.org"))
		for _, script := range []string{login, "fetch('" + s.origin() + "/api/orders')"} {
			if got := p.run(script); got != "TypeError: Failed to fetch" {
				t.Errorf("another origin gets %s from %s", got, script)
			}
		}
	})
}
