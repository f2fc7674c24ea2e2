package httpapi_test

import (
	"sync"
	"testing"
	"time"

	"user-service/pkg/password"
)

// TestAccountsThatChangeTheirPasswordsKeepNobodyOut has accounts fill the places of the hash queue that they may
// have, and the first of them wait before anybody else does: a login and a registration are served before it.
func TestAccountsThatChangeTheirPasswordsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits = password.Limits{Concurrency: 1, Queue: 4, MaxWait: time.Minute} })
	owner, waits, refused := s.register(), s.register(), s.register()
	changePassword := func(a account) answer {
		return s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token))
	}

	has, release := s.takeTurn()
	<-has
	comesFirst, releaseFirst := s.takeTurn()
	defer releaseFirst()
	s.waitForHashes(1)
	var changed, served sync.WaitGroup
	changed.Go(func() {
		if got := changePassword(waits); got.status >= 300 {
			t.Errorf("a change that waits gets %d: %s", got.status, got.body)
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
	served.Wait() // though nobody else is served before releaseFirst
	<-comesFirst
	if n := s.hasher.Waiting(); n != 1 {
		t.Errorf("%d changes of a password wait, want 1: none came before the login", n)
	}
	again, releaseAgain := s.takeTurn()
	s.waitForHashes(2)
	changePassword(refused).wantProblem(t, 503, "overloaded")
	releaseFirst()
	releaseAgain()
	<-again
	changed.Wait()
}
