package token

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxVerified is the number of verified tokens that are kept. A token with its claims has about 1.5 KiB.
const maxVerified = 2048

// verifiedTokens keeps the tokens that were verified last, with their claims. A client sends the same token with each request, and the
// verification took 17 % of the allocations of GET /users/me. Only the expiry and the keys are checked again: nothing else about a token
// can change. Whether its session still exists is not the token's matter, and is read from the database for each request.
type verifiedTokens struct {
	mu     sync.Mutex
	tokens *simplelru.LRU[string, verifiedToken]
}

// verifiedToken is a token whose signature and claims are valid under keys.
type verifiedToken struct {
	keys   *keyring
	issued Issued
}

func newVerifiedTokens() *verifiedTokens {
	tokens, _ := simplelru.NewLRU[string, verifiedToken](maxVerified, nil) // fails only for size 0
	return &verifiedTokens{tokens: tokens}
}

// get returns a token that was verified with these keys and has not expired.
func (v *verifiedTokens) get(raw string, keys *keyring, now time.Time) (Issued, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.tokens.Get(raw)
	if !ok || found.keys != keys || !now.Before(found.issued.ExpiresAt) {
		return Issued{}, false
	}
	return found.issued, true
}

// add keeps a verified token. It copies the token, which otherwise would keep the whole header of its request in memory.
func (v *verifiedTokens) add(raw string, keys *keyring, issued Issued) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens.Add(strings.Clone(raw), verifiedToken{keys, issued})
}
