package httpapi_test

import (
	"testing"
	"time"

	"user-service/internal/testkit"
)

// TestReadinessTellsAChangeInTime stops all traffic with the database, and lets it flow again, several times.
func TestReadinessTellsAChangeInTime(t *testing.T) {
	t.Parallel()
	f := newFreezer(t)
	s := start(t, func(set *settings) { set.database = f.dsn })
	await := func(status int) {
		t.Helper()
		if !testkit.Await(t.Context(), 5*time.Second, func() bool { return s.call("GET", "/readyz", nil).status == status }) {
			t.Fatalf("not %d after 5 s", status)
		}
	}
	for range 2 {
		await(200)
		f.freeze()
		await(503)
		for range 2 { // each fails at the end of its time
			s.call("POST", "/login", map[string]any{"email": "a@example.com", "password": goodPassword}).want(t, 503)
		}
		f.thaw()
		await(200)
	}
}
