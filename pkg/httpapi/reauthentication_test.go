package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/password"
)

// hashes counts the computed hashes.
type hashes struct{ atomic.Int64 }

// HashDone implements password.Observer.
func (h *hashes) HashDone(time.Duration, time.Duration) { h.Add(1) }

// HashRefused implements password.Observer.
func (h *hashes) HashRefused(string) {}

// changesWithAPassword returns the requests that need the current password.
func (s *server) changesWithAPassword(a account, pw string) map[string]func() answer {
	return map[string]func() answer{
		"password": func() answer {
			return s.call("PUT", "/users/me/password", change(pw, newPassword), as(a.token))
		},
		"PATCH of the email": func() answer {
			return s.call("PATCH", "/users/me", map[string]any{"email": "other-" + a.Email, "current_password": pw}, as(a.token))
		},
		"PUT of the email": func() answer {
			return s.call("PUT", "/users/me", map[string]any{"email": "other-" + a.Email, "current_password": pw}, as(a.token))
		},
	}
}

// TestAReauthenticationBackoffCostsNoHash checks that no replica computes a hash for a user during the backoff after wrong passwords.
func TestAReauthenticationBackoffCostsNoHash(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	a, admin := s.register(), s.admin()
	wrong := map[string]any{"email": "b@example.com", "current_password": "wrong " + a.password}
	for range 5 {
		s.call("PATCH", "/users/me", wrong, as(a.token)).want(t, 403)
	}
	before := s.hashes.Load() + other.hashes.Load()
	for _, replica := range []*server{s, other} {
		for name, try := range replica.changesWithAPassword(a, a.password) {
			got := try()
			t.Log(name)
			got.wantProblem(t, 429, "too-many-requests")
			wantLimit(t, got, 60)
		}
	}
	if n := s.hashes.Load() + other.hashes.Load() - before; n != 0 {
		t.Errorf("%d hashes during the backoff, want none", n)
	}
	if n := len(s.audit(admin.token, "user_id="+a.ID.String()+"&action=authn_password_change_fail")); n != 2 {
		t.Errorf("%d refused password changes are in the audit trail, want 2", n)
	}
	s.letTimePass()
	s.changePassword(a, newPassword)
}

// TestOneHashWaitsForAUser sends 66 concurrent password changes of one user while no slot is free. Only one hash waits. Then at most one
// change succeeds, because the old password is wrong for the others.
func TestOneHashWaitsForAUser(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits.Concurrency = 1 })
	a := s.register()
	has, release := s.takeSlot()
	<-has
	const most = 66 // one runs, 64 wait, and one is refused
	answers := make(chan answer, most)
	for range most {
		go func() { answers <- s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token)) }()
	}
	tooMany := <-answers
	tooMany.wantProblem(t, 429, "too-many-requests")
	if after := tooMany.header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After is %q, want 1", after)
	}
	if !testkit.Await(t.Context(), testkit.Timeout, func() bool { return s.hasher.Waiting() == 1 }) {
		t.Errorf("%d hashes of one user wait, want 1", s.hasher.Waiting())
	}
	release()
	statuses := map[int]int{}
	for range most - 1 {
		statuses[(<-answers).status]++
	}
	if statuses[200] > 1 || statuses[200]+statuses[401]+statuses[403]+statuses[429]+statuses[503] != most-1 {
		t.Errorf("statuses are %v, want at most one 200, and refusals", statuses)
	}
}

// TestAbandonedRequestsDoNotAddHashes closes the connection of a password change while the hash of the current or of the new password
// waits. Another change by the same user has to wait, because the abandoned change may still compute its hash.
func TestAbandonedRequestsDoNotAddHashes(t *testing.T) {
	t.Parallel()
	for _, awaited := range []string{"current", "new"} {
		s := start(t, func(set *settings) { set.limits.Concurrency = 1 })
		a := s.register()
		has, release := s.takeSlot()
		<-has
		ctx, hangUp := context.WithCancel(t.Context())
		body := bytes.NewReader(encode(t, change(a.password, newPassword)))
		req, err := http.NewRequestWithContext(ctx, "PUT", s.URL+"/users/me/password", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", jsonType)
		as(a.token)(req)
		gone := make(chan error, 1)
		go func() {
			resp, err := s.Client().Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			gone <- err
		}()
		s.waitForHashes(1)
		if awaited == "new" {
			has, next := s.takeSlot()
			s.waitForHashes(2)
			release() // the hash of the current password gets the slot first
			<-has
			release = next
			s.waitForHashes(1)
		}
		hangUp()
		if err := <-gone; err == nil {
			t.Error("the change has a response before the connection is closed, want none")
		}
		s.waitForHangUps(1)
		t.Logf("the hash of the %s password waits", awaited)
		second := make(chan answer)
		go func() { second <- s.changesWithAPassword(a, a.password)["PATCH of the email"]() }()
		for range 20 {
			s.call("GET", "/healthz", nil).want(t, 200)
			if n := s.hasher.Waiting(); n != 1 {
				t.Fatalf("%d hashes of one user wait, want 1", n)
			}
		}
		release()
		(<-second).want(t, 200)
	}
}

// takeSlot waits for a slot as a reauthentication, and holds the slot until release is called. has is closed when the slot is taken.
func (s *server) takeSlot() (has <-chan struct{}, release func()) {
	acquired, released := make(chan struct{}), make(chan struct{})
	flow := password.Flow{Class: password.Reauthentication}
	go func() {
		_, _ = s.hasher.Verify(context.Background(), flow, "", func(context.Context) (password.Stored, error) {
			close(acquired)
			<-released
			return password.Stored{}, context.Canceled
		})
	}()
	return acquired, sync.OnceFunc(func() { close(released) })
}

// waitForHashes waits until n hashes wait for a slot.
func (s *server) waitForHashes(n int64) {
	s.t.Helper()
	testkit.WaitFor(s.t, fmt.Sprintf("%d hashes that wait", n), func() bool { return s.hasher.Waiting() == n })
}

// waitForHangUps waits until the server has noticed that the clients of n running requests have closed their connections.
func (s *server) waitForHangUps(n int64) {
	s.t.Helper()
	testkit.WaitFor(s.t, fmt.Sprintf("%d closed connections", n), func() bool { return s.hangUps.Load() == n })
}

// countHangUps counts the requests whose client closes the connection before the response.
func (s *server) countHangUps(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer context.AfterFunc(r.Context(), func() { s.hangUps.Add(1) })()
		next.ServeHTTP(w, r)
	})
}

// TestAFloodWithOneTokenDoesNotBlockLogins floods a service with changes by one user. The service has one slot and a queue of one. Another
// user must still be able to log in.
func TestAFloodWithOneTokenDoesNotBlockLogins(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits = password.Limits{Concurrency: 1, Queue: 1, MaxWait: 10 * time.Second} })
	thief, victim := s.register(), s.register()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				edit := map[string]any{"email": fmt.Sprintf("t%d-%d@example.com", i, n), "current_password": thief.password}
				s.call("PATCH", "/users/me", edit, as(thief.token))
			}
		})
	}
	for range 20 {
		s.login(victim)
	}
	stop.Store(true)
	wg.Wait()
}
