package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"user-service/pkg/user"
)

// maxTokenBuckets limits the memory of a limiter. A token bucket with its entries in the map and the list needs about 370 bytes, so the
// maximum number of them needs 6 MB. At the limit, the least recently used token bucket is removed. Its key then gets a new, full
// token bucket, as after a minute without a request.
//
// A client uses one token bucket for its address and one for each network around the address. These are two token buckets with IPv4 and
// three with IPv6. A refused request does not add a token bucket, so the quota of a network also limits its token buckets. An attacker with
// enough networks can use all token buckets. A larger maximum would hardly help, because each network has a quota of its own. But such an
// attack causes no refusals of other clients, and the backoff of each account and the limits of hashing still apply.
const maxTokenBuckets = 1 << 14

// limiter limits how often each key may be used. Each key has a token bucket, which is full at first. A limiter is safe for concurrent use.
type limiter[K comparable] struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[K, *rate.Limiter]
	now     func() time.Time
}

func newLimiter[K comparable]() *limiter[K] {
	buckets, _ := simplelru.NewLRU[K, *rate.Limiter](maxTokenBuckets, nil) // fails only for size 0
	return &limiter[K]{buckets: buckets, now: time.Now}
}

// quotaKey is the key whose quota a request uses, and its limit.
type quotaKey[K comparable] struct {
	key   K
	limit *user.Limit
}

// take takes n tokens from the token bucket of each key, or from none of them. A refused request must not use up a quota that the client
// shares with others. If a key has too few tokens, take returns its limit, and the time until there are enough. A key gets its
// token bucket when tokens are first taken.
func (l *limiter[K]) take(n int, keys ...quotaKey[K]) (exceeded *user.Limit, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, k := range keys {
		if until := l.timeUntil(k, n, now); until > wait {
			exceeded, wait = k.limit, until
		}
	}
	if exceeded != nil {
		return exceeded, wait
	}
	for _, k := range keys {
		l.bucket(k).AllowN(now, min(n, k.limit.Quota))
	}
	return nil, 0
}

// refund gives back n tokens that take has taken from each key.
func (l *limiter[K]) refund(n int, keys ...quotaKey[K]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, k := range keys {
		if bucket, ok := l.buckets.Get(k.key); ok { // otherwise the key starts again with all tokens
			bucket.AllowN(now, -min(n, k.limit.Quota)) // never more than the burst
		}
	}
}

// timeUntil returns the time until a key has n tokens, or all of its tokens if the quota is smaller than n.
func (l *limiter[K]) timeUntil(k quotaKey[K], n int, now time.Time) time.Duration {
	bucket, ok := l.buckets.Get(k.key)
	if !ok {
		return 0
	}
	missing := float64(min(n, k.limit.Quota)) - bucket.TokensAt(now)
	return time.Duration(missing / float64(bucket.Limit()) * float64(time.Second))
}

func (l *limiter[K]) bucket(k quotaKey[K]) *rate.Limiter {
	if bucket, ok := l.buckets.Get(k.key); ok {
		return bucket
	}
	bucket := rate.NewLimiter(rate.Limit(float64(k.limit.Quota)/k.limit.Window.Seconds()), k.limit.Quota)
	l.buckets.Add(k.key, bucket)
	return bucket
}

// The networks that share a quota, with the factor by which their quota exceeds the quota of one address. A provider assigns a customer at
// least an IPv6 /64, and often a /56 or a /48. The customer can use all addresses of that network.
var (
	networks4 = []network{{32, 1}, {24, 4}}
	networks6 = []network{{64, 1}, {56, 4}, {48, 16}}
)

type network struct{ bits, times int }

// addressLimits are the limits of one address and of the networks around it, by length of the prefix.
type addressLimits map[int]*user.Limit

// newAddressLimits returns the limits for a quota of one address. The names of the limits begin with prefix.
func newAddressLimits(prefix string, perMinute int) addressLimits {
	limits := addressLimits{}
	for _, n := range append(networks4, networks6...) {
		policy := "network"
		if n.times == 1 {
			policy = "address"
		}
		limits[n.bits] = &user.Limit{Policy: prefix + policy, Quota: perMinute * n.times, Window: time.Minute}
	}
	return limits
}

// keys returns the keys of an address. All peers without an IP address share one key.
func (l addressLimits) keys(addr netip.Addr) []quotaKey[netip.Prefix] {
	if !addr.IsValid() {
		return []quotaKey[netip.Prefix]{{netip.Prefix{}, l[networks4[0].bits]}}
	}
	networks := networks4
	if addr.Is6() {
		networks = networks6
	}
	keys := make([]quotaKey[netip.Prefix], len(networks))
	for i, n := range networks {
		keys[i] = quotaKey[netip.Prefix]{netip.PrefixFrom(addr, n.bits).Masked(), l[n.bits]}
	}
	return keys
}

// addressQuota limits the requests of each address, and of the networks around it.
type addressQuota struct {
	*limiter[netip.Prefix]
	limits addressLimits
}

func newAddressQuota(prefix string, perMinute int) *addressQuota {
	return &addressQuota{newLimiter[netip.Prefix](), newAddressLimits(prefix, perMinute)}
}

// take counts n requests of an address. refund removes the requests from the count. Errors: TooManyRequests.
func (q *addressQuota) take(addr netip.Addr, n int) (refund func(), refused error) {
	exceeded, wait := q.limiter.take(n, q.limits.keys(addr)...)
	return func() { q.refund(addr, n) }, errTooMany(exceeded, wait, "Too many requests came from this address; try again later.")
}

// refund removes n requests of an address from the count.
func (q *addressQuota) refund(addr netip.Addr, n int) { q.limiter.refund(n, q.limits.keys(addr)...) }
