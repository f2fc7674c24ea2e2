package chaos_test

import (
	"slices"
	"sync"

	"user-service/test/chaos/history"
)

// person is a user, whom one client drives or two.
type person struct {
	id, email string

	mu        sync.Mutex
	passwords []string // all that were ever asked for; the last one is tried first
	tokens    tokens   // of the session in use; empty: none
	version   int      // the last one seen
	disabled  bool
	gone      bool // erased, perhaps
}

// snapshot is what a client knows of a person when it decides what to do.
type snapshot struct {
	tokens   tokens
	password string
	version  int
	disabled bool
}

func (p *person) look() snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return snapshot{tokens: p.tokens, password: p.passwords[len(p.passwords)-1], version: p.version, disabled: p.disabled}
}

// prefer makes a password the one that is tried first.
func (p *person) prefer(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passwords = append(slices.DeleteFunc(p.passwords, func(other string) bool { return other == password }), password)
}

// doubt makes a password the one that is tried last.
func (p *person) doubt(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := slices.DeleteFunc(p.passwords, func(other string) bool { return other == password })
	p.passwords = append([]string{password}, rest...)
}

// use makes tokens those in use, if nobody has changed those that they replace.
func (p *person) use(before, now tokens) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == before {
		p.tokens = now
	}
}

// learn keeps what an answer shows.
func (p *person) learn(o history.Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.Told != nil {
		p.version = max(p.version, o.Told.Version)
		p.disabled = o.Told.Status == "disabled"
	}
}

func (p *person) erase() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func (p *person) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}
