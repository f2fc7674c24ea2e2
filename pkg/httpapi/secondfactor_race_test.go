package httpapi_test

import (
	"sync"
	"testing"
)

// TestACodeIsUsedOnceByManyRequests sends 20 concurrent requests to two replicas: with one code, with one recovery code, and with one
// challenge. One request succeeds.
func TestACodeIsUsedOnceByManyRequests(t *testing.T) {
	t.Parallel()
	const requests = 20
	for name, prepare := range map[string]func(s *server, a account, p *app) (challenges, codes []string){
		"one code": func(s *server, a account, p *app) (challenges, codes []string) {
			code := p.fresh(s)
			for range requests {
				challenges, codes = append(challenges, s.challenge(a)), append(codes, code)
			}
			return challenges, codes
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
			if statuses[200] != 1 || statuses[401] != requests-1 {
				t.Errorf("the statuses are %v, want one 200 and %d times 401", statuses, requests-1)
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
		code := s.codeOf(a)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { other.call("POST", "/login", credentialsOf(s, a)) })
		}
		s.confirm(a, id, code).want(t, 200)
		all.Wait()
		if n := s.execute(`DELETE FROM sessions WHERE user_id = $1 AND amr = '{pwd}'`, a.ID); n != 1 {
			t.Errorf("%d sessions without a second factor are left, want only the confirming one", n)
		}
	}
}
