// Command load sends mixed traffic at a steady rate until it gets SIGTERM. Then it prints the results as JSON: the number of
// requests, the first failure, and the number of accepted accounts.
//
//	go run ./test/e2e/load -url http://127.0.0.1:8080 -rate 50
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// password is random, because the service refuses passwords that a document or a program contains.
var password = rand.Text()

// traffic counts the requests.
type traffic struct {
	url    string
	client *http.Client

	mu         sync.Mutex
	requests   int
	registered []string
	failed     []string
	slowest    time.Duration
	held       string // An access token as old as the traffic. A run is shorter than the 15 minutes for which the token is valid.
	latest     string // The newest access token.
	refresh    string // The refresh token of the session.
}

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "where the service is")
	rate := flag.Int("rate", 50, "requests a second")
	prefix := flag.String("prefix", fmt.Sprintf("load-%d", os.Getpid()), "how the emails begin")
	accepted := flag.String("accepted", "", "a file to write the emails to that were registered")
	tolerant := flag.Bool("tolerant", false, "succeed even if requests failed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	t := &traffic{url: *url, client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.run(ctx, *rate, *prefix)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": t.requests, "registered": len(t.registered), "failed": len(t.failed),
		"first_failures": t.failed[:min(len(t.failed), 10)], "slowest_ms": t.slowest.Milliseconds(),
	})
	if *accepted != "" {
		if err := os.WriteFile(*accepted, []byte(strings.Join(t.registered, "\n")+"\n"), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if t.requests == 0 || len(t.failed) > 0 && !*tolerant {
		os.Exit(1)
	}
}

// run sends one registration, one login, one refresh and one change in each second, and otherwise reads. Registrations and logins
// use many accounts. The other requests use the first account in a continuing session.
func (t *traffic) run(ctx context.Context, rate int, prefix string) {
	holder, visitor := prefix+"-holder@example.com", prefix+"-visitor@example.com"
	t.register(holder)
	t.register(visitor)
	t.begin(holder)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var sent sync.WaitGroup
	defer sent.Wait()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sent.Go(func() {
			switch n % rate {
			case 0:
				t.register(fmt.Sprintf("%s-%d@example.com", prefix, n))
			case rate / 4:
				t.turn(holder)
			case rate / 2:
				t.login(visitor)
			case rate * 3 / 4:
				t.call(http.MethodPatch, "/users/me", t.token(false), fmt.Sprintf(`{"name":"Ada the %dth"}`, n), http.StatusOK)
			default:
				t.call(http.MethodGet, "/users/me", t.token(n%2 == 0), "", http.StatusOK)
			}
		})
	}
}

// begin opens the continuing session.
func (t *traffic) begin(email string) {
	tokens := t.login(email)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.refresh = tokens.Access, tokens.Refresh
}

// turn rotates the refresh token. After a failure the state of the token is unknown, so turn opens a new session.
func (t *traffic) turn(email string) {
	t.mu.Lock()
	token := t.refresh
	t.mu.Unlock()
	tokens := t.issue("/refresh", fmt.Sprintf(`{"refresh_token":%q}`, token))
	if tokens.Refresh == "" {
		t.begin(email)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh = tokens.Refresh
}

func (t *traffic) token(latest bool) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if latest {
		return t.latest
	}
	return t.held
}

func (t *traffic) register(email string) {
	if t.call(http.MethodPost, "/register", "", credentials(email), http.StatusCreated) != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.registered = append(t.registered, email)
	}
}

func (t *traffic) login(email string) tokens { return t.issue("/login", credentials(email)) }

func credentials(email string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// issue sends a request and returns the tokens of the response, or none.
func (t *traffic) issue(path, body string) tokens {
	var issued tokens
	if json.Unmarshal(t.call(http.MethodPost, path, "", body, http.StatusOK), &issued) == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.latest = issued.Access
	}
	return issued
}

// call sends a request and records its result. It returns the body of a response with the wanted status, or nil.
func (t *traffic) call(method, path, token, body string, want int) []byte {
	began := time.Now()
	answer, err := t.send(method, path, token, body, want)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	t.slowest = max(t.slowest, time.Since(began))
	if err != nil {
		t.failed = append(t.failed, fmt.Sprintf("%s +%d ms %s %s: %v",
			began.Format(time.TimeOnly), time.Since(began).Milliseconds(), method, path, err))
		return nil
	}
	return answer
}

func (t *traffic) send(method, path, token, body string, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, t.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s, want %d: %.200s", resp.Status, want, answer)
	}
	return answer, nil
}
