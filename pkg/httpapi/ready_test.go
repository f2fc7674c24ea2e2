package httpapi_test

import (
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestReadinessFollowsTheDatabase stops and resumes all traffic with the database several times. Readiness must change each time.
func TestReadinessFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	f := newFreezer(t)
	s := start(t, func(set *settings) { set.database = f.dsn })
	await := func(status int) {
		t.Helper()
		if !testkit.Await(t.Context(), 5*time.Second, func() bool { return s.call("GET", "/readyz", nil).status == status }) {
			t.Fatalf("readiness has another status after 5 s, want %d", status)
		}
	}
	for range 2 {
		await(200)
		f.freeze()
		await(503)
		for range 2 { // each request fails at its deadline
			s.call("POST", "/login", map[string]any{"email": "a@example.com", "password": goodPassword}).want(t, 503)
		}
		f.thaw()
		await(200)
	}
}
