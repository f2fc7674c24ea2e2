package workload_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/user"
	"user-service/pkg/workload"
	"user-service/pkg/workload/workloadtest"
)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock(v *workload.Verifier) *clock {
	c := &clock{at: time.Now()}
	v.SetTime(func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.at
	})
	return c
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lifetime returns the exp of a token that is valid for d.
func lifetime(d time.Duration) map[string]any { return map[string]any{"exp": time.Now().Add(d).Unix()} }

func TestANewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	clock := newClock(v)
	old := issuer.Token(t, nil)
	wantCode(t, "the first key", v, old, "")
	issuer.Rotate(t)
	rotated := issuer.Token(t, nil)
	wantCode(t, "the new key, too early for another fetch", v, rotated, user.InvalidAccessToken)
	clock.advance(10 * time.Second)
	wantCode(t, "the new key", v, rotated, "")
	wantCode(t, "the old key, which the issuer has removed", v, old, user.InvalidAccessToken)
	if n := len(issuer.Requests(workloadtest.KeysPath)); n != 2 {
		t.Errorf("the keys were fetched %d times, want 2", n)
	}
}

// TestKnownKeysServeWhileTheIssuerFails covers an issuer that answers with errors.
func TestKnownKeysServeWhileTheIssuerFails(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	clock := newClock(v)
	token := issuer.Token(t, lifetime(48*time.Hour))
	wantCode(t, "before the failure", v, token, "")
	issuer.Answer(workloadtest.KeysPath, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) })
	clock.advance(24*time.Hour - time.Minute)
	unknown := workloadtest.NewKey(t).Sign(t, issuer.Claims(lifetime(48*time.Hour)), nil)
	wantCode(t, "an unknown key during the failure", v, unknown, user.Unavailable)
	wantCode(t, "a known key during the failure", v, token, "")
	clock.advance(2 * time.Minute)
	wantCode(t, "a known key after 24 hours of failure", v, token, user.Unavailable)
	issuer.Answer(workloadtest.KeysPath, nil)
	clock.advance(10 * time.Second)
	wantCode(t, "after the failure", v, token, "")
	wantCode(t, "an unknown key after the failure", v, unknown, user.InvalidAccessToken)
}

// TestNothingHangsWhileTheIssuerDoesNotAnswer sends concurrent requests while the issuer holds each response.
func TestNothingHangsWhileTheIssuerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	clock := newClock(v)
	token := issuer.Token(t, nil)
	wantCode(t, "before", v, token, "")
	held := make(chan struct{})
	defer close(held)
	issuer.Answer(workloadtest.KeysPath, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	clock.advance(time.Minute)
	concurrently(3*workload.MaxWaiting, func() {
		wantCode(t, "an unknown key", v, workloadtest.NewKey(t).Sign(t, issuer.Claims(nil), nil), user.Unavailable)
		wantCode(t, "a known key", v, token, "")
	})
	if n := len(issuer.Requests(workloadtest.KeysPath)); n != 2 {
		t.Errorf("the keys were requested %d times, want 2", n)
	}
}

func TestConcurrentUnknownKeysCauseOneFetch(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	concurrently(20, func() {
		wantCode(t, "an unknown key", v, workloadtest.NewKey(t).Sign(t, issuer.Claims(nil), nil), user.InvalidAccessToken)
	})
	for range 20 {
		wantCode(t, "another unknown key", v, workloadtest.NewKey(t).Sign(t, issuer.Claims(nil), nil), user.InvalidAccessToken)
	}
	wantCode(t, "a known key", v, issuer.Token(t, nil), "")
	if n := len(issuer.Requests(workloadtest.KeysPath)); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

func concurrently(n int, f func()) {
	var group sync.WaitGroup
	for range n {
		group.Go(f)
	}
	group.Wait()
}

// TestAnExpiredRequestDoesNotWait covers a client that has disconnected.
func TestAnExpiredRequestDoesNotWait(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	held := make(chan struct{})
	defer close(held)
	issuer.Answer(workloadtest.DiscoveryPath, func(http.ResponseWriter, *http.Request) { <-held })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := workload.New(issuer.Config()).Verify(ctx, issuer.Token(t, nil)); codeOf(t, err) != user.Unavailable {
		t.Errorf("the error is %v, want %s", err, user.Unavailable)
	}
}

// TestTheTokenGoesOnlyToTheIssuer lets a discovery name keys on another origin. Only a configured origin gets the token.
func TestTheTokenGoesOnlyToTheIssuer(t *testing.T) {
	t.Parallel()
	const own = "the-token-of-the-service"
	for name, c := range map[string]struct {
		configured bool // WORKLOAD_JWKS_URL names the other origin
		want       []string
	}{
		"another origin that is discovered": {false, nil},
		"another origin in the settings":    {true, []string{"Bearer " + own}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer, other := workloadtest.New(t), workloadtest.New(t)
			issuer.Answer(workloadtest.DiscoveryPath, discovery(issuer.URL, other.URL+workloadtest.KeysPath))
			cfg := issuer.Config()
			cfg.TokenFile = workloadtest.WriteToken(t, own)
			if c.configured {
				cfg.JWKSURL = other.URL + workloadtest.KeysPath
			}
			key := other.Rotate(t)
			wantCode(t, name, workload.New(cfg), key.Sign(t, issuer.Claims(nil), nil), "")
			requests := other.Requests(workloadtest.KeysPath)
			if len(requests) != 1 || strings.Join(requests[0].Header.Values("Authorization"), "|") != strings.Join(c.want, "|") {
				t.Errorf("the other origin got %d requests, want one with Authorization %q: %v", len(requests), c.want, requests)
			}
			for _, r := range issuer.Requests(workloadtest.DiscoveryPath) {
				if r.Header.Get("Authorization") != "Bearer "+own {
					t.Errorf("the issuer got Authorization %q, want the token", r.Header.Get("Authorization"))
				}
			}
		})
	}
}

// discovery returns a response with this issuer and this URL of the keys.
func discovery(issuer, keys string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "jwks_uri": keys})
	}
}

// TestBadResponsesAreFailures covers responses from which the service must take no keys.
func TestBadResponsesAreFailures(t *testing.T) {
	t.Parallel()
	other := workloadtest.New(t)
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	})
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for name, answers := range map[string]map[string]http.HandlerFunc{
		"a redirect of the discovery": {workloadtest.DiscoveryPath: plain},
		"a redirect of the keys":      {workloadtest.KeysPath: plain},
		"another issuer":              {workloadtest.DiscoveryPath: discovery(other.URL, other.URL+workloadtest.KeysPath)},
		"keys without TLS": {workloadtest.DiscoveryPath: discovery("",
			"http://"+other.Listener.Addr().String()+workloadtest.KeysPath)},
		"no URL of keys":   {workloadtest.DiscoveryPath: discovery("", "")},
		"no JSON":          {workloadtest.KeysPath: text("<html>")},
		"no keys":          {workloadtest.KeysPath: text(`{"keys":[]}`)},
		"another document": {workloadtest.KeysPath: text(`{"error":"login"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := workloadtest.New(t)
			for path, answer := range answers {
				issuer.Answer(path, withIssuer(issuer.URL, answer))
			}
			wantCode(t, name, workload.New(issuer.Config()), issuer.Token(t, nil), user.Unavailable)
		})
	}
	t.Cleanup(func() {
		if requests := other.Requests(workloadtest.KeysPath); len(requests) > 0 {
			t.Errorf("the other server got %d requests, want none", len(requests))
		}
	})
}

// withIssuer sets an empty issuer of a discovery.
func withIssuer(issuer string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer(rewriter{w, issuer}, r)
	}
}

type rewriter struct {
	http.ResponseWriter
	issuer string
}

func (r rewriter) Write(p []byte) (int, error) {
	text := strings.Replace(string(p), `"issuer":""`, `"issuer":"`+r.issuer+`"`, 1)
	_, err := r.ResponseWriter.Write([]byte(text))
	return len(p), err
}

// TestALargeResponseIsAFailure adds padding to the keys of the issuer.
func TestALargeResponseIsAFailure(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	key, err := issuer.Rotate(t).Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]user.Code{200 << 10: "", 300 << 10: user.Unavailable} {
		body := `{"padding":"` + strings.Repeat("x", size) + `","keys":[` + string(key) + `]}`
		issuer.Answer(workloadtest.KeysPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		wantCode(t, "a large response", workload.New(issuer.Config()), issuer.Token(t, nil), want)
	}
}

func TestTheAuthorityOfTheIssuerIsVerified(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	cfg := issuer.Config()
	cfg.CAFile = ""
	wantCode(t, "the authorities of the system", workload.New(cfg), issuer.Token(t, nil), user.Unavailable)
	cfg.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	v := workload.New(cfg)
	clock := newClock(v)
	wantCode(t, "no file", v, issuer.Token(t, nil), user.Unavailable)
	if err := os.WriteFile(cfg.CAFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.advance(10 * time.Second)
	wantCode(t, "no certificate", v, issuer.Token(t, nil), user.Unavailable)
	authority, err := os.ReadFile(issuer.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.CAFile, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	clock.advance(10 * time.Second)
	wantCode(t, "the file after a rotation", v, issuer.Token(t, nil), "")
}

// TestRunFetchesTheKeysAtTheStart checks that the first request needs no fetch.
func TestRunFetchesTheKeysAtTheStart(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	v := workload.New(issuer.Config())
	run(t, v)
	testkit.WaitFor(t, "a fetch", func() bool { return len(issuer.Requests(workloadtest.KeysPath)) == 1 })
	wantCode(t, "a known key", v, issuer.Token(t, nil), "")
}
