package httpapi

import (
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
	bySession                    // one for the session whose refresh token is in the body, and for its account; without one as byAddress
	byReset                      // as byAddress, but none for a reset that is confirmed
	write                        // one for the account, before the body is read
	hash                         // ten for the account, before the body is read
	writeOrHash                  // as write, and nine more with a current_password in the body, if it is the caller's own account
)

const (
	// hashCost is as how many requests one counts that has a password hashed.
	hashCost = 10
	// refreshTimes is how many lookups of sessions an address has, for each request of its quota. A lookup of a living session counts
	// only while it runs, so this bounds how many an address has running.
	refreshTimes = 16
	// tokenTimes is how many queries for an account a session has, for each request of the quota of the account. It is more than 1
	// because a request that is refused afterwards counts too.
	tokenTimes = 2
)

// quotas are the buckets of all quotas. A nil limiter limits nothing.
type quotas struct {
	addresses *addressQuota
	resets    *addressQuota       // lookups of reset tokens, while the quota of the address is spent
	refreshes *addressQuota       // lookups of sessions, while the quota of the address is spent
	sessions  *limiter[uuid.UUID] // refreshes, by session and by account
	session   *user.Limit
	accounts  *limiter[uuid.UUID]
	account   *user.Limit
	token     *user.Limit // of the session of an access token, before the query that finds its account
}

func newQuotas(cfg Config) quotas {
	var q quotas
	if n := cfg.RateLimitPerMinute; n > 0 {
		q.addresses, q.resets, q.refreshes = newAddressQuota(n), newAddressQuota(n), newAddressQuota(n*refreshTimes)
		q.sessions, q.session = newLimiter[uuid.UUID](), &user.Limit{Policy: "session", Quota: n, Window: time.Minute}
	}
	if n := cfg.AccountRateLimitPerMinute; n > 0 {
		q.accounts, q.account = newLimiter[uuid.UUID](), &user.Limit{Policy: "account", Quota: n, Window: time.Minute}
		q.token = &user.Limit{Policy: "account", Quota: n * tokenTimes, Window: time.Minute}
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
	_, refused := a.quotas.addresses.take(c.addr)
	return refused
}

// countSession lets the holder of a session refresh it, whatever others do at the same address.
func (a *API) countSession(c *call) error {
	if a.quotas.sessions == nil {
		return nil
	}
	token, refused := a.tokenOfAddress(c, "refresh_token", a.quotas.refreshes)
	if token == "" {
		return refused
	}
	session, ok := a.users.SessionOf(token)
	if !ok {
		return refused
	}
	owner, living, err := a.users.OwnerOf(c.Context(), session)
	if err != nil {
		return err
	}
	if !living { // its token counts by address
		return refused
	}
	c.success()
	claims := []claim[uuid.UUID]{{session, a.quotas.session}}
	if a.quotas.account != nil {
		claims = append(claims, claim[uuid.UUID]{owner, a.quotas.account})
	}
	met, wait := a.quotas.sessions.take(1, claims...)
	return tooMany(met, wait, "This session or this account was refreshed too often; try again later.")
}

// countReset lets the recipient of a reset use it, whatever others do at the same address. Until the reset is confirmed it
// counts. Otherwise nothing would bound how many tokens an address has looked up.
func (a *API) countReset(c *call) error {
	if a.quotas.addresses == nil {
		return nil
	}
	token, refused := a.tokenOfAddress(c, "token", a.quotas.resets)
	if refused == nil || token == "" {
		return refused
	}
	live, err := a.users.IsReset(c.Context(), token)
	if err != nil || live {
		return err
	}
	return refused
}

// tokenOfAddress counts a call by its address, and returns the token in its body. While the quota of the address is spent,
// refused is the refusal. Then the token counts in lookups and is returned only from a small body. So a refusal costs little.
func (a *API) tokenOfAddress(c *call, member string, lookups *addressQuota) (token string, refused error) {
	giveBack, refused := a.quotas.addresses.take(c.addr)
	if refused == nil {
		c.succeeded = giveBack
		return c.peek(member), nil
	}
	c.mostBody = smallBody
	if token = c.peek(member); token == "" {
		return "", refused
	}
	giveBack, spent := lookups.take(c.addr)
	if spent != nil {
		return "", refused
	}
	c.succeeded = giveBack
	return token, refused
}

// countBeforeQuery counts a call by the session of its token, so that a flood of one caller does not fill the pool. It counts in
// the quota of the account only after the query: a token of a session that has ended must not spend that.
func (a *API) countBeforeQuery(q quota, session uuid.UUID) error {
	if a.quotas.accounts == nil || q == uncounted {
		return nil
	}
	met, wait := a.quotas.accounts.take(1, claim[uuid.UUID]{session, a.quotas.token})
	return tooManyOfAccount(met, wait)
}

func (a *API) countAccount(c *call, n int) error {
	if a.quotas.accounts == nil {
		return nil
	}
	met, wait := a.quotas.accounts.take(n, claim[uuid.UUID]{c.by.UserID, a.quotas.account})
	return tooManyOfAccount(met, wait)
}

func tooManyOfAccount(met *user.Limit, wait time.Duration) error {
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

// tooMany returns nil if no limit was met.
func tooMany(met *user.Limit, wait time.Duration, detail string) error {
	if met == nil {
		return nil
	}
	return &user.Error{Code: user.TooManyRequests, Detail: detail, RetryAfter: wait, Limit: met}
}
