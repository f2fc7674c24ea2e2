package bench_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkFloodOfPasswordChanges repeatedly changes the passwords of 100 accounts, from one address.
func BenchmarkFloodOfPasswordChanges(b *testing.B) {
	const rate = 145
	s := newSite(b, nil)
	var attackers []*passwordChanger
	for _, a := range s.register(b, "attacker", 100) {
		attackers = append(attackers, &passwordChanger{session: a, next: "nine old maps of rivers"})
	}
	s.measure(b, flood{
		done: []int{http.StatusOK, http.StatusNoContent},
		run: func(during time.Duration) answers {
			return openLoop(rate, during, func(n int) int { return attackers[n%len(attackers)].change(s) })
		},
	})
}

// passwordChanger is an account with its current and its next password.
type passwordChanger struct {
	mu sync.Mutex
	*session
	next string
}

func (p *passwordChanger) change(s *site) int {
	p.mu.Lock()
	current, next, token := p.password, p.next, p.token
	p.mu.Unlock()
	r := s.call(s.client, request{
		method: http.MethodPut, path: "/users/me/password", token: token, address: attackerAddress,
		body: fmt.Sprintf(`{"current_password": %q, "new_password": %q}`, current, next),
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.status {
	case http.StatusOK, http.StatusNoContent:
		p.password, p.next = next, current
		if fresh := accessToken(r); fresh != "" {
			p.token = fresh
		}
	case http.StatusUnauthorized, http.StatusForbidden: // another change of this account came first
		return http.StatusTooManyRequests
	}
	return r.status
}

// BenchmarkFloodOfEmailProbes uses one account to find registered emails, through email changes with the correct password.
func BenchmarkFloodOfEmailProbes(b *testing.B) {
	const rate = 21
	s := newSite(b, nil)
	attacker := s.register(b, "attacker", 1)[0]
	s.measure(b, s.send(rate, []int{http.StatusConflict}, func(n int) request {
		return change(attacker.token, fmt.Sprintf(`{"email": %q, "current_password": %q}`,
			s.others.users[n%otherUsers].email, attacker.password))
	}))
}
