// Command load sends mixed traffic at a steady pace until it gets SIGTERM, then prints what came of it as JSON: how
// many requests there were, the first that failed, and how many accounts were accepted.
//
//	go run ./test/e2e/load -url http://127.0.0.1:8080 -rate 50
package main

import (
	"bytes"
	"context"
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

const password = "seven green kettles sing"

// traffic is what was sent so far.
type traffic struct {
	url    string
	client *http.Client

	mu         sync.Mutex
	requests   int
	registered []string
	failed     []string
	slowest    time.Duration
	token      string
}

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "where the service is")
	rate := flag.Int("rate", 50, "requests a second")
	prefix := flag.String("prefix", fmt.Sprintf("load-%d", os.Getpid()), "how the emails begin")
	accepted := flag.String("accepted", "", "a file to write the emails to that were registered")
	tolerant := flag.Bool("tolerant", false, "succeed whatever failed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	t := &traffic{url: *url, client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	t.run(ctx, *rate, *prefix)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": t.requests, "registered": len(t.registered), "failed": len(t.failed),
		"first_failures": t.failed[:min(len(t.failed), 5)], "slowest_ms": t.slowest.Milliseconds(),
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

// run sends one registration, one login and otherwise reads in each second.
func (t *traffic) run(ctx context.Context, rate int, prefix string) {
	first := prefix + "-0@example.com"
	t.register(first)
	t.login(first)
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
			case rate / 2:
				t.login(first)
			default:
				t.call(http.MethodGet, "/users/me", "", http.StatusOK)
			}
		})
	}
}

func (t *traffic) register(email string) {
	if t.call(http.MethodPost, "/register", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), http.StatusCreated) != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.registered = append(t.registered, email)
	}
}

func (t *traffic) login(email string) {
	body := t.call(http.MethodPost, "/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password), http.StatusOK)
	var tokens struct {
		Access string `json:"access_token"`
	}
	if json.Unmarshal(body, &tokens) == nil && tokens.Access != "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.token = tokens.Access
	}
}

// call returns the body of the wanted answer, or nil.
func (t *traffic) call(method, path, body string, want int) []byte {
	began := time.Now()
	answer, err := t.send(method, path, body, want)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	t.slowest = max(t.slowest, time.Since(began))
	if err != nil {
		t.failed = append(t.failed, fmt.Sprintf("%s %s %s: %v", began.Format(time.TimeOnly), method, path, err))
		return nil
	}
	return answer
}

func (t *traffic) send(method, path, body string, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, t.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	} else {
		t.mu.Lock()
		req.Header.Set("Authorization", "Bearer "+t.token)
		t.mu.Unlock()
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
