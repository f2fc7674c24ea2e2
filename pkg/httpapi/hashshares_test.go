package httpapi_test

import (
	"sync"
	"testing"
	"time"

	"user-service/pkg/password"
)

// TestPasswordChangesDoNotDelayLogins fills the share of the hash queue that password changes may use. A later login and a later
// registration must get a slot before the waiting change.
func TestPasswordChangesDoNotDelayLogins(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits = password.Limits{Concurrency: 1, Queue: 4, MaxWait: time.Minute} })
	owner, waits, refused := s.register(), s.register(), s.register()
	changePassword := func(a account) answer {
		return s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token))
	}

	has, release := s.takeSlot()
	<-has
	comesFirst, releaseFirst := s.takeSlot()
	defer releaseFirst()
	s.waitForHashes(1)
	var changed, served sync.WaitGroup
	changed.Go(func() {
		if got := changePassword(waits); got.status >= 300 {
			t.Errorf("the waiting change gets %d, want a 2xx: %s", got.status, got.body)
		}
	})
	s.waitForHashes(2)
	served.Go(func() { s.login(owner) })
	s.waitForHashes(3)
	served.Go(func() {
		s.call("POST", "/register", map[string]any{"email": "new@example.com", "password": goodPassword}).want(t, 201)
	})
	s.waitForHashes(4)
	release()
	served.Wait() // the change gets no slot before releaseFirst
	<-comesFirst
	if n := s.hasher.Waiting(); n != 1 {
		t.Errorf("%d password changes wait, want 1 after the login and the registration", n)
	}
	again, releaseAgain := s.takeSlot()
	s.waitForHashes(2)
	changePassword(refused).wantProblem(t, 503, "overloaded")
	releaseFirst()
	releaseAgain()
	<-again
	changed.Wait()
}
