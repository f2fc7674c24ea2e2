package httpapi

import (
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// quotaRule says in which quota the requests of a route count, and as how many requests each of them counts.
type quotaRule int

// The rules. Requests without a token that need a hash, a write or a mail count against the quota of the client's address. Requests
// with a token that write or hash count against the quota of the caller's account; a hash counts as ten. They also count against a
// larger quota of the client's address, because one client may have many accounts.
const (
	// uncounted is for requests that only read, and for requests that end sessions. An attacked user must always be able to end sessions.
	uncounted quotaRule = iota + 1
	// byAddress counts one request in the quota of the client's address, before the body is read.
	byAddress
	// bySession counts one request in the quota of the session of the refresh token in the body, and one in the quota of its account. A
	// request without a valid token counts as byAddress.
	bySession
	// byReset counts as byAddress. A confirmed reset is not counted.
	byReset
	// byRevocation counts as byAddress. A request with a token that this service has issued is not counted.
	byRevocation
	// write counts one request in the quota of the caller's account, before the body is read.
	write
	// mail counts as write and as byAddress, because one client may have many accounts, and each request causes a mail.
	mail
	// hash counts ten requests in the quota of the caller's account, before the body is read.
	hash
	// export counts ten requests in the quota of the caller's account.
	export
	// writeOrHash counts one request, as write does. It counts nine more if the body has a current_password and the account is the caller's
	// own.
	writeOrHash
)

const (
	// hashCost is the number of requests that a hash counts as.
	hashCost = 10
	// exportCost is the number of requests that an export counts as.
	exportCost = 10
	// refreshLookupFactor is the number of session lookups that an address has for each request of its quota. A lookup that finds a
	// current session counts only while it runs. So for valid tokens, the factor limits only the concurrent lookups of an address.
	refreshLookupFactor = 16
	// sessionQueryFactor is the number of account queries that a session has for each request of its account's quota. It is more than 1
	// because requests that the service refuses after the query count too.
	sessionQueryFactor = 2
	// accountAddressFactor is the number of requests with a token that an address has for each request without a token. It is large
	// enough for the clients of an office behind one address.
	accountAddressFactor = 20
)

// quotas has the limiters of all quotas. A nil limiter allows every request.
type quotas struct {
	addresses *addressQuota
	// resets and refreshes limit the lookups of reset tokens and of sessions, while the quota of the address is used up.
	resets, refreshes *addressQuota
	// sessions limits the refreshes, by session and by account.
	sessions *limiter[uuid.UUID]
	session  *user.Limit
	accounts *limiter[uuid.UUID]
	account  *user.Limit
	// accountAddresses limits the requests of all accounts from an address and its networks.
	accountAddresses *addressQuota
	// sessionQueries limits the requests of each session, before the query for its account.
	sessionQueries *user.Limit
}

func newQuotas(cfg Config) quotas {
	var q quotas
	if n := cfg.RateLimitPerMinute; n > 0 {
		q.addresses, q.resets, q.refreshes = newAddressQuota("", n), newAddressQuota("", n), newAddressQuota("", n*refreshLookupFactor)
		q.accountAddresses = newAddressQuota("account-", n*accountAddressFactor)
		q.sessions, q.session = newLimiter[uuid.UUID](), &user.Limit{Policy: "session", Quota: n, Window: time.Minute}
	}
	if n := cfg.AccountRateLimitPerMinute; n > 0 {
		q.accounts, q.account = newLimiter[uuid.UUID](), &user.Limit{Policy: "account", Quota: n, Window: time.Minute}
		q.sessionQueries = &user.Limit{Policy: "account", Quota: n * sessionQueryFactor, Window: time.Minute}
	}
	return q
}

// count counts a call in the quota of its route. Errors: TooManyRequests, Unavailable.
func (a *API) count(c *call, q quotaRule) error {
	switch q {
	case byAddress:
		return a.countAddress(c)
	case bySession:
		return a.countSession(c)
	case byReset:
		return a.countReset(c)
	case byRevocation:
		return a.countRevocation(c)
	case write:
		return a.countAccount(c, 1)
	case mail:
		return a.countMail(c)
	case hash:
		return a.countAccount(c, hashCost)
	case export:
		return a.countAccount(c, exportCost)
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
	_, refused := a.quotas.addresses.take(c.addr, 1)
	return refused
}

// countSession counts a refresh by its session and its account. So other clients at the same address do not prevent the refresh.
//
// Errors: TooManyRequests, Unavailable.
func (a *API) countSession(c *call) error {
	if a.quotas.sessions == nil {
		return nil
	}
	token, refused := a.countTokenRequest(c, "refresh_token", a.quotas.refreshes)
	if token == "" {
		return refused
	}
	session, ok := a.users.SessionOf(token)
	if !ok {
		return refused
	}
	owner, current, err := a.users.OwnerOf(c.Context(), session)
	if err != nil {
		return err
	}
	if !current { // the token of an ended session counts against the address
		return refused
	}
	c.runOnSuccess()
	keys := []quotaKey[uuid.UUID]{{session, a.quotas.session}}
	if a.quotas.account != nil {
		keys = append(keys, quotaKey[uuid.UUID]{owner, a.quotas.account})
	}
	exceeded, wait := a.quotas.sessions.take(1, keys...)
	return errTooMany(exceeded, wait, "This session or this account was refreshed too often; try again later.")
}

// countReset counts the confirmation of a reset by address, but allows a valid token even if the quota is used up. So other clients at
// the same address do not prevent a reset. Only a confirmed reset is refunded, so the lookups of an address are limited.
//
// Errors: TooManyRequests, Unavailable.
func (a *API) countReset(c *call) error {
	if a.quotas.addresses == nil {
		return nil
	}
	token, refused := a.countTokenRequest(c, "token", a.quotas.resets)
	if refused == nil || token == "" {
		return refused
	}
	valid, err := a.users.IsReset(c.Context(), token)
	if err != nil || valid {
		return err
	}
	return refused
}

// countRevocation counts a revocation by address, unless the service has issued the token. Then the request ends a session, so it is
// neither counted nor refused. While the quota of the address is used up, the body must be small, so that a refusal costs
// little. Errors: TooManyRequests.
func (a *API) countRevocation(c *call) error {
	if a.quotas.addresses == nil {
		return nil
	}
	refund, refused := a.quotas.addresses.take(c.addr, 1)
	if refused != nil {
		c.maxBytes = smallBody
	}
	token, err := c.formToken()
	if err != nil || !a.users.IsRevocable(token) {
		return refused
	}
	if refused == nil {
		refund()
	}
	return nil
}

// countTokenRequest counts a call by its address, and returns the token in its body. refused is TooManyRequests while the quota of the
// address is used up. In that case the request also counts in lookups, and its body must be small, so that a refusal costs little.
func (a *API) countTokenRequest(c *call, member string, lookups *addressQuota) (token string, refused error) {
	refund, refused := a.quotas.addresses.take(c.addr, 1)
	if refused == nil {
		c.onSuccess = refund
		return c.bodyField(member), nil
	}
	c.maxBytes = smallBody
	if token = c.bodyField(member); token == "" {
		return "", refused
	}
	refund, noLookup := lookups.take(c.addr, 1)
	if noLookup != nil {
		return "", refused
	}
	c.onSuccess = refund
	return token, refused
}

// countBeforeQuery counts a call by the session of its token, so that one caller can't occupy the pool. The call counts in the quota of
// the account only after the query, because tokens of ended sessions must not use up that quota. Errors: TooManyRequests.
func (a *API) countBeforeQuery(q quotaRule, session uuid.UUID) error {
	if a.quotas.accounts == nil || q == uncounted {
		return nil
	}
	exceeded, wait := a.quotas.accounts.take(1, quotaKey[uuid.UUID]{session, a.quotas.sessionQueries})
	return errTooManyOfAccount(exceeded, wait)
}

// countAccount counts a call as n requests in the quota of its account, and in the quota of all accounts at its address. A refused call
// counts in neither quota.
//
// Errors: TooManyRequests.
func (a *API) countAccount(c *call, n int) error {
	account := quotaKey[uuid.UUID]{accountKey(c.by.Caller), a.quotas.account}
	if a.quotas.accounts != nil {
		if exceeded, wait := a.quotas.accounts.take(n, account); exceeded != nil {
			return errTooManyOfAccount(exceeded, wait)
		}
	}
	if a.quotas.accountAddresses == nil {
		return nil
	}
	_, refused := a.quotas.accountAddresses.take(c.addr, n)
	if refused != nil && a.quotas.accounts != nil {
		a.quotas.accounts.refund(n, account)
	}
	return refused
}

// countMail counts a call in the quota of its account, and in the quota of anonymous requests of its address. A refused call counts in
// neither quota. Errors: TooManyRequests.
func (a *API) countMail(c *call) error {
	if err := a.countAccount(c, 1); err != nil {
		return err
	}
	err := a.countAddress(c)
	if err != nil {
		a.refundAccount(c, 1)
	}
	return err
}

// refundAccount removes n requests of a call from the counts of countAccount.
func (a *API) refundAccount(c *call, n int) {
	if a.quotas.accounts != nil {
		a.quotas.accounts.refund(n, quotaKey[uuid.UUID]{accountKey(c.by.Caller), a.quotas.account})
	}
	if a.quotas.accountAddresses != nil {
		a.quotas.accountAddresses.refund(c.addr, n)
	}
}

// accountKey returns the key of the caller's quota: the id of a user, or a key of a workload.
func accountKey(by access.Caller) uuid.UUID {
	if by.Workload != "" {
		return workloadKey("account", by.Workload)
	}
	return by.UserID
}

// workloadKey returns a key for a quota of a workload. It is a name-based UUID, so it is never the id of a user or a session.
func workloadKey(quota, sub string) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, []byte(quota+" "+user.WorkloadActor(sub)))
}

func errTooManyOfAccount(exceeded *user.Limit, wait time.Duration) error {
	return errTooMany(exceeded, wait, "This account has sent too many requests; try again later.")
}

// countWriteOrHash counts one request before it reads the body, so that no body is read while the quota is used up. It refunds the
// request if the quota does not have room for the hash. Errors: TooManyRequests.
func (a *API) countWriteOrHash(c *call) error {
	if a.quotas.accounts == nil && a.quotas.accountAddresses == nil {
		return nil
	}
	if err := a.countAccount(c, 1); err != nil || !c.grant.Self() || c.bodyField("current_password") == "" {
		return err
	}
	more := hashCost - 1
	if a.quotas.account != nil {
		more = min(hashCost, a.quotas.account.Quota) - 1
	}
	err := a.countAccount(c, more)
	if err != nil {
		a.refundAccount(c, 1)
	}
	return err
}

// errTooMany returns the error for an exceeded limit; nil if no limit is exceeded.
func errTooMany(exceeded *user.Limit, wait time.Duration, detail string) error {
	if exceeded == nil {
		return nil
	}
	return &user.Error{Code: user.TooManyRequests, Detail: detail, RetryAfter: wait, Limit: exceeded}
}
