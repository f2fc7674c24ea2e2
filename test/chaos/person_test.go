package chaos_test

import (
	"slices"
	"sync"

	"user-service/test/chaos/history"
)

// person is a user whom one or two clients use.
type person struct {
	id, email string

	mu        sync.Mutex
	passwords []string // all requested passwords; the last one is tried first
	tokens    tokens   // the tokens of the current session; empty: none
	version   int      // the last known version
	disabled  bool
	gone      bool // an erasure may have succeeded
}

// snapshot is a client's knowledge of a person when it chooses an operation.
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

// prefer makes a password the first one to try.
func (p *person) prefer(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passwords = append(slices.DeleteFunc(p.passwords, func(other string) bool { return other == password }), password)
}

// doubt makes a password the last one to try.
func (p *person) doubt(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := slices.DeleteFunc(p.passwords, func(other string) bool { return other == password })
	p.passwords = append([]string{password}, rest...)
}

// use replaces the tokens before with the tokens now, unless another client has already replaced the tokens before.
func (p *person) use(before, now tokens) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == before {
		p.tokens = now
	}
}

// learn stores the content of a response.
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
