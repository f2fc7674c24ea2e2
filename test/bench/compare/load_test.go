package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestOpenLoopMeasuresFromWhenARequestIsDue stalls the first request on the only connection. The requests behind it were due meanwhile, so
// their times contain their wait.
func TestOpenLoopMeasuresFromWhenARequestIsDue(t *testing.T) {
	t.Parallel()
	const stall = 100 * time.Millisecond
	first := true
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if first { // requests on one connection do not overlap
			first = false
			testkit.Pause(t.Context(), stall)
		}
	}))
	t.Cleanup(server.Close)
	l := load{
		addr: strings.TrimPrefix(server.URL, "http://"), connections: 1, during: stall,
		next: func(int64) []byte { return requestBytes(http.MethodGet, "/", "", "") },
	}
	got, err := l.open(100) // a request is due every 10 ms
	if err != nil {
		t.Fatal(err)
	}
	if len(got.times) != 10 || len(got.problems) > 0 {
		t.Fatalf("%d requests were answered, with the problems %v, want 10", len(got.times), got.problems)
	}
	if got.at(0.5) < milliseconds(stall)/3 {
		t.Errorf("the median is %.1f ms, want the wait behind the stalled request", got.at(0.5))
	}
}

func TestClosedLoopCountsAnswersByStatus(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refused":
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	paths := []string{"/", "/refused", "/broken"}
	l := load{
		addr: strings.TrimPrefix(server.URL, "http://"), connections: 2, during: 50 * time.Millisecond,
		next: func(n int64) []byte { return requestBytes(http.MethodGet, paths[n%3], "", "") },
	}
	got, err := l.closed()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.times) == 0 || got.refused == 0 || got.problems["Internal Server Error"] == 0 {
		t.Errorf("%d answers, %d refusals and the problems %v, want some of each", len(got.times), got.refused, got.problems)
	}
}
