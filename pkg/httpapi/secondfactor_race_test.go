package httpapi_test

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// TestACodeIsUsedOnceByManyRequests sends 20 concurrent requests to two replicas: with one code, with one recovery code, and with one
// challenge. One request succeeds.
func TestACodeIsUsedOnceByManyRequests(t *testing.T) {
	t.Parallel()
	const requests = 20
	for name, prepare := range map[string]func(s *server, a account, p *app) (challenges, codes []string){
		"one code": func(s *server, a account, p *app) (challenges, codes []string) {
			for range requests {
				challenges = append(challenges, s.challenge(a))
			}
			s.execute(`UPDATE factors SET last_step = 0 WHERE id = $1`, p.id)
			return challenges, slices.Repeat([]string{s.codeAt(p.secret, time.Now().Add(30*time.Second))}, requests) // valid for a minute
		},
		"one recovery code": func(s *server, a account, p *app) (challenges, codes []string) {
			for range requests {
				challenges, codes = append(challenges, s.challenge(a)), append(codes, p.codes[0])
			}
			return challenges, codes
		},
		"one challenge": func(s *server, a account, p *app) (challenges, codes []string) {
			challenge := s.challenge(a)
			for i := range requests {
				challenges, codes = append(challenges, challenge), append(codes, p.codes[i%10])
			}
			return challenges, codes
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(set *settings) { set.cfg.MaxFailures = 1000 })
			other := start(t, func(set *settings) { set.database, set.cfg.MaxFailures = s.dsn, 1000 })
			a := s.register()
			challenges, codes := prepare(s, a, s.enroll(a))
			var mu sync.Mutex
			var all sync.WaitGroup
			statuses := map[int]int{}
			for i := range requests {
				all.Go(func() {
					r := []*server{s, other}[i%2]
					got := patiently(func() answer { return r.secondStep(challenges[i], codes[i]) })
					mu.Lock()
					defer mu.Unlock()
					statuses[got.status]++
				})
			}
			all.Wait()
			// On a busy machine, the response of the login may be lost to a 503, and its repetition is refused.
			if statuses[200] > 1 || statuses[200]+statuses[401] != requests {
				t.Errorf("the statuses are %v, want at most one 200, and otherwise 401", statuses)
			}
			if n := s.execute(`DELETE FROM sessions WHERE user_id = $1 AND 'mfa' = ANY(amr)`, a.ID); n != 1 {
				t.Errorf("%d sessions are opened, want one", n)
			}
		})
	}
}

// TestALoginDoesNotOvertakeTheConfirmation logs in with the password alone while the first factor is confirmed. After the confirmation,
// only the confirming session is without the factor.
func TestALoginDoesNotOvertakeTheConfirmation(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.MaxFailures = 1000 })
	other := start(t, func(set *settings) { set.database, set.cfg.MaxFailures = s.dsn, 1000 })
	for range 10 {
		a := s.register()
		id := s.insertFactor(a, false)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { other.call("POST", "/login", credentialsOf(s, a)) })
		}
		patiently(func() answer { return s.confirm(a, id, s.codeOf(a)) })
		all.Wait()
		if n := s.execute(`UPDATE factors SET name = name WHERE id = $1 AND confirmed_at IS NOT NULL`, id); n != 1 {
			t.Fatal("the factor is not confirmed")
		}
		if n := s.execute(`DELETE FROM sessions WHERE user_id = $1 AND amr = '{pwd}'`, a.ID); n != 1 {
			t.Errorf("%d sessions without a second factor are left, want only the confirming one", n)
		}
	}
}

// TestNoSessionSurvivesTheConfirmation refreshes one session and changes the password in another one while the first factor is confirmed.
// After the confirmation, only the confirming session is without the factor.
func TestNoSessionSurvivesTheConfirmation(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	for range 5 {
		a := s.register()
		refreshing, changing, id := s.login(a), s.login(a), s.insertFactor(a, false)
		var all sync.WaitGroup
		all.Go(func() { other.call("POST", "/refresh", map[string]any{"refresh_token": refreshing.refresh}) })
		all.Go(func() { other.call("PUT", "/users/me/password", change(a.password, newPassword), as(changing.token)) })
		patiently(func() answer { return s.confirm(a, id, s.codeOf(a)) }) // 401 if the password was changed first
		all.Wait()
		confirmed := s.execute(`UPDATE factors SET name = name WHERE id = $1 AND confirmed_at IS NOT NULL`, id)
		if n := s.execute(`DELETE FROM sessions WHERE user_id = $1 AND amr = '{pwd}'`, a.ID); n != 1 {
			t.Errorf("%d sessions are left (confirmed: %d), want the confirming one or that of the new password", n, confirmed)
		}
	}
}

// TestTheEndOfAllSessionsEndsALoginInProgress sends a code while an administrator ends the sessions. In either order, no session is left.
func TestTheEndOfAllSessionsEndsALoginInProgress(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	a, admin := s.register(), s.admin()
	p := s.enroll(a)
	for range 10 {
		challenge, code := s.challenge(a), p.fresh(s)
		var all sync.WaitGroup
		all.Go(func() { other.secondStep(challenge, code) })
		patiently(func() answer { return s.call("DELETE", a.path()+"/sessions", nil, as(admin.token)) }).want(t, 204)
		all.Wait()
		if n := s.execute(`DELETE FROM sessions WHERE user_id = $1`, a.ID); n != 0 {
			t.Errorf("%d sessions are left, want none", n)
		}
		s.execute(`DELETE FROM password_failures`)
		s.execute(`DELETE FROM login_failures`)
	}
}
