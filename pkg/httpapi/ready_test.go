package httpapi_test

import (
	"testing"
	"time"
)

// TestReadinessTellsAChangeInTime stops all traffic with the database, and lets it flow again, several times.
func TestReadinessTellsAChangeInTime(t *testing.T) {
	t.Parallel()
	f := newFreezer(t)
	s := start(t, func(set *settings) { set.database = f.dsn })
	await := func(status int) {
		t.Helper()
		for began := time.Now(); s.call("GET", "/readyz", nil).status != status; <-time.After(100 * time.Millisecond) {
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("not %d after %s", status, took)
			}
		}
	}
	for range 2 {
		await(200)
		f.freeze()
		await(503)
		<-time.After(3 * time.Second)
		f.thaw()
		await(200)
	}
}
