package httpapi

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// quota says which quota a request of a route counts in, and as how many requests.
type quota int

// The quotas. Requests that ask for no token and cost something count by the address of the client; those of a caller with
// a token that write or hash count by its account, where a hash counts as ten.
const (
	uncounted   quota = iota + 1 // reads, and what gets an attacked user to safety: ending sessions
	byAddress                    // one, before the body is read
	bySession                    // one for the session whose refresh token is in the body; without one as byAddress
	byReset                      // as byAddress, but none for a reset that is confirmed
	write                        // one for the account, before the body is read
	hash                         // ten for the account, before the body is read
	writeOrHash                  // as write, and nine more with a current_password in the body, if it is the caller's own account
)

// hashCost is as how many requests one counts that has a password hashed.
const hashCost = 10

// quotas are the buckets of all quotas. A nil limiter limits nothing.
type quotas struct {
	addresses *limiter[netip.Prefix]
	networks  addressLimits
	lookups   *limiter[netip.Prefix] // of tokens of resets, by the networks too, where the quota of the address is spent
	sessions  *limiter[uuid.UUID]
	session   *user.Limit
	accounts  *limiter[uuid.UUID]
	account   *user.Limit
}

func newQuotas(cfg Config) quotas {
	var q quotas
	if n := cfg.RateLimitPerMinute; n > 0 {
		q.addresses, q.networks, q.lookups = newLimiter[netip.Prefix](), newAddressLimits(n), newLimiter[netip.Prefix]()
		q.sessions, q.session = newLimiter[uuid.UUID](), &user.Limit{Policy: "session", Quota: n, Window: time.Minute}
	}
	if n := cfg.AccountRateLimitPerMinute; n > 0 {
		q.accounts, q.account = newLimiter[uuid.UUID](), &user.Limit{Policy: "account", Quota: n, Window: time.Minute}
	}
	return q
}

// count counts a call in the quota of its route. Errors: TooManyRequests, Unavailable.
func (a *API) count(c *call, q quota) error {
	switch q {
	case byAddress:
		return a.countAddress(c)
	case bySession:
		return a.countSession(c)
	case byReset:
		return a.countReset(c)
	case write:
		return a.countAccount(c, 1)
	case hash:
		return a.countAccount(c, hashCost)
	case writeOrHash:
		return a.countWriteOrHash(c)
	default:
		return nil
	}
}

func (a *API) countAddress(c *call) error {
	if a.quotas.addresses == nil {
		return nil
	}
	met, wait := a.quotas.addresses.take(1, a.quotas.networks.claims(c.addr)...)
	return tooManyOfAddress(met, wait)
}

// countSession lets who holds a session refresh it whatever others do at the same address.
func (a *API) countSession(c *call) error {
	if a.quotas.sessions == nil {
		return nil
	}
	token := c.peek("refresh_token")
	if token == "" {
		return a.countAddress(c)
	}
	session, ok := a.users.SessionOf(token)
	if !ok {
		return a.countAddress(c)
	}
	met, wait := a.quotas.sessions.take(1, claim[uuid.UUID]{session, a.quotas.session})
	return tooMany(met, wait, "This session was refreshed too often; try again later.")
}

// countReset lets who got a reset by mail use it whatever others do at the same address. Where the quota of the address is spent,
// the token is looked up, as often as that quota is large. Until the reset is confirmed it counts, or nothing would bound how
// often an address has tokens looked up.
func (a *API) countReset(c *call) error {
	if a.quotas.addresses == nil {
		return nil
	}
	refused := a.countReturnable(c, a.quotas.addresses)
	if refused == nil {
		return nil
	}
	token := c.peek("token") // before the context, which it replaces
	if token == "" || a.countReturnable(c, a.quotas.lookups) != nil {
		return refused
	}
	live, err := a.users.IsReset(c.Context(), token)
	if err != nil || live {
		return err
	}
	return refused
}

// countReturnable counts a call by its address in l, and for nothing if it succeeds.
func (a *API) countReturnable(c *call, l *limiter[netip.Prefix]) error {
	claims := a.quotas.networks.claims(c.addr)
	met, wait := l.take(1, claims...)
	if met == nil {
		c.succeeded = func() { l.giveBack(1, claims...) }
	}
	return tooManyOfAddress(met, wait)
}

func (a *API) countAccount(c *call, n int) error {
	if a.quotas.accounts == nil {
		return nil
	}
	met, wait := a.quotas.accounts.take(n, claim[uuid.UUID]{c.by.UserID, a.quotas.account})
	return tooMany(met, wait, "This account has sent too many requests; try again later.")
}

// countWriteOrHash counts one before it reads the body, so that a spent quota reads none. A request that is refused
// afterwards gets it back.
func (a *API) countWriteOrHash(c *call) error {
	if a.quotas.accounts == nil {
		return nil
	}
	if err := a.countAccount(c, 1); err != nil || !c.grant.Self() || c.peek("current_password") == "" {
		return err
	}
	err := a.countAccount(c, min(hashCost, a.quotas.account.Quota)-1)
	if err != nil {
		a.quotas.accounts.giveBack(1, claim[uuid.UUID]{c.by.UserID, a.quotas.account})
	}
	return err
}

func tooManyOfAddress(met *user.Limit, wait time.Duration) error {
	return tooMany(met, wait, "Too many requests came from this address; try again later.")
}

// tooMany returns nil if no limit was met.
func tooMany(met *user.Limit, wait time.Duration, detail string) error {
	if met == nil {
		return nil
	}
	return &user.Error{Code: user.TooManyRequests, Detail: detail, RetryAfter: wait, Limit: met}
}
