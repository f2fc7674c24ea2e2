package pwned_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"user-service/pkg/pwned"
)

const breached = "seven green kettles sing"

// api returns a range API that knows the password breached, and the prefixes of its queries.
func api(t *testing.T, respond http.HandlerFunc) (url string) {
	t.Helper()
	server := httptest.NewServer(respond)
	t.Cleanup(server.Close)
	return server.URL + "/range/"
}

// digits returns the hash of a password in the API's form.
func digits(password string) string {
	sum := sha1.Sum([]byte(password))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

type results []string

func (r *results) PwnedPasswordsQueried(result string) { *r = append(*r, result) }

// TestABreachedPasswordIsFound queries the API for three passwords. The API lists the first, does not list the second, and has the third
// only in its padding.
func TestABreachedPasswordIsFound(t *testing.T) {
	t.Parallel()
	const padding, wide = "nine blue lanterns hum", "ｓｅｖｅｎ green kettles sing"
	url := api(t, func(w http.ResponseWriter, r *http.Request) {
		prefix := strings.TrimPrefix(r.URL.Path, "/range/")
		if len(prefix) != 5 || r.Header.Get("Add-Padding") != "true" || r.UserAgent() != "user-service" {
			t.Errorf("the query is %s with %v", r.URL, r.Header)
		}
		_, _ = fmt.Fprintf(w, "%s:7\r\n%s:0\r\n%s:12", strings.Repeat("0", 35), digits(padding)[5:], digits(breached)[5:])
	})
	var seen results
	client := pwned.New(pwned.Config{URL: url, Agent: "user-service", Observer: &seen})
	for password, want := range map[string]bool{breached: true, wide: true, padding: false, "four yellow doors open": false} {
		if got := client.Contains(t.Context(), password); got != want {
			t.Errorf("%q: got %t, want %t", password, got, want)
		}
	}
	if count := strings.Count(strings.Join(seen, " "), pwned.NotFound); len(seen) != 4 || count != 2 {
		t.Errorf("the results are %v", seen)
	}
}

// TestAFailureOfTheAPIAcceptsThePassword checks that bad responses are counted and logged once, without any digit of the hash.
func TestAFailureOfTheAPIAcceptsThePassword(t *testing.T) {
	t.Parallel()
	for name, respond := range map[string]http.HandlerFunc{
		"a status":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"a redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Log in</html>")) },
		"an empty list": func(http.ResponseWriter, *http.Request) {},
		"a long line":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("A"), 1<<20)) },
		"a broken body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			w.WriteHeader(http.StatusOK)
		},
		"a closed channel": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen results
			var logged bytes.Buffer
			client := pwned.New(pwned.Config{URL: api(t, respond), Observer: &seen, Log: slog.New(slog.NewTextHandler(&logged, nil))})
			for range 3 {
				if client.Contains(t.Context(), breached) {
					t.Error("the password is refused")
				}
			}
			if want := strings.Repeat(pwned.Failed, 3); strings.Join(seen, "") != want {
				t.Errorf("the results are %v", seen)
			}
			if n := strings.Count(logged.String(), "level=WARN"); n != 1 || strings.Contains(logged.String(), digits(breached)[:5]) {
				t.Errorf("the log is %s", logged.String())
			}
		})
	}
}

// TestASlowAPIDelaysAPasswordByASecond queries an API that never responds.
func TestASlowAPIDelaysAPasswordByASecond(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var seen results
	client := pwned.New(pwned.Config{URL: api(t, func(http.ResponseWriter, *http.Request) { <-release }), Observer: &seen})
	began := time.Now()
	found := client.Contains(t.Context(), breached)
	took := time.Since(began)
	close(release)
	if found || took < time.Second || len(seen) != 1 || seen[0] != pwned.Failed {
		t.Errorf("found %t after %s, results %v; want a failure after a second", found, took, seen)
	}
}

// TestACanceledQueryIsNotAFailure cancels a query, as a client that disconnects does.
func TestACanceledQueryIsNotAFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var seen results
	url := api(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	client := pwned.New(pwned.Config{URL: url, Observer: &seen})
	if client.Contains(ctx, breached) || len(seen) > 0 {
		t.Errorf("the results are %v, want none", seen)
	}
}
