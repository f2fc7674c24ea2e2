package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"user-service/pkg/user"
)

// maxBuckets bounds the memory of a limiter: a bucket takes about 370 bytes with its place in
// the map and the list, all of them 6 MB. Past it the bucket that was used longest ago makes
// room, and its key starts over with a full one, as it would after a minute without a request
// anyway. A client uses a bucket for its address and for each network around it: two by IPv4, three by IPv6. A request
// that is refused adds none, so that the quota of a network also bounds how many buckets it uses. An attacker with enough
// networks to use them all is not held by the limiter, and would hardly be by a larger one, since each network has a quota of
// its own: it meets the throttle of each account and the bounds of hashing. Nobody else is refused for it.
const maxBuckets = 1 << 14

// limiter bounds how often each key may be used, with a token bucket for each, which starts full.
type limiter[K comparable] struct {
	mu      sync.Mutex
	buckets *simplelru.LRU[K, *rate.Limiter]
	now     func() time.Time
}

func newLimiter[K comparable]() *limiter[K] {
	buckets, _ := simplelru.NewLRU[K, *rate.Limiter](maxBuckets, nil) // it fails for a size of 0 only
	return &limiter[K]{buckets: buckets, now: time.Now}
}

// claim is a bucket that a request counts in.
type claim[K comparable] struct {
	key   K
	limit *user.Limit
}

// take takes n tokens from the bucket of each claim, or from none: a request that is refused must not empty the
// buckets that it shares with others. If a bucket has too few, take returns its limit and how long it will take
// until there are enough. A key without a bucket gets one when tokens are taken, and has a full one until then.
func (l *limiter[K]) take(n int, claims ...claim[K]) (met *user.Limit, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, c := range claims {
		if missing := l.missing(c, n, now); missing > wait {
			met, wait = c.limit, missing
		}
	}
	if met != nil {
		return met, wait
	}
	for _, c := range claims {
		l.bucket(c).AllowN(now, min(n, c.limit.Quota))
	}
	return nil, 0
}

// giveBack returns n tokens that take took for the same claims.
func (l *limiter[K]) giveBack(n int, claims ...claim[K]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, c := range claims {
		if bucket, ok := l.buckets.Get(c.key); ok { // else it starts with a full one
			bucket.AllowN(now, -min(n, c.limit.Quota)) // the limiter itself never has more than its burst
		}
	}
}

// missing returns how long it will take until the bucket has n tokens, or is full.
func (l *limiter[K]) missing(c claim[K], n int, now time.Time) time.Duration {
	bucket, ok := l.buckets.Get(c.key)
	if !ok {
		return 0
	}
	lacking := float64(min(n, c.limit.Quota)) - bucket.TokensAt(now)
	return time.Duration(lacking / float64(bucket.Limit()) * float64(time.Second))
}

func (l *limiter[K]) bucket(c claim[K]) *rate.Limiter {
	if bucket, ok := l.buckets.Get(c.key); ok {
		return bucket
	}
	bucket := rate.NewLimiter(rate.Limit(float64(c.limit.Quota)/c.limit.Window.Seconds()), c.limit.Quota)
	l.buckets.Add(c.key, bucket)
	return bucket
}

// The networks of a client that share a quota, and how many times the quota of one address they have. A provider gives
// a customer an IPv6 /64 at least, to take any address from, and often a /56 or a /48.
var (
	networks4 = []network{{32, 1}, {24, 4}}
	networks6 = []network{{64, 1}, {56, 4}, {48, 16}}
)

type network struct{ bits, times int }

// addressLimits are the limits of one address and of the networks around it, by length of the prefix.
type addressLimits map[int]*user.Limit

func newAddressLimits(perMinute int) addressLimits {
	limits := addressLimits{}
	for _, n := range append(networks4, networks6...) {
		policy := "network"
		if n.times == 1 {
			policy = "address"
		}
		limits[n.bits] = &user.Limit{Policy: policy, Quota: perMinute * n.times, Window: time.Minute}
	}
	return limits
}

// claims returns the buckets of an address. All peers without an IP address share one.
func (l addressLimits) claims(addr netip.Addr) []claim[netip.Prefix] {
	if !addr.IsValid() {
		return []claim[netip.Prefix]{{netip.Prefix{}, l[networks4[0].bits]}}
	}
	networks := networks4
	if addr.Is6() {
		networks = networks6
	}
	claims := make([]claim[netip.Prefix], len(networks))
	for i, n := range networks {
		claims[i] = claim[netip.Prefix]{netip.PrefixFrom(addr, n.bits).Masked(), l[n.bits]}
	}
	return claims
}

// addressQuota bounds the requests of each address, and of the networks around it.
type addressQuota struct {
	*limiter[netip.Prefix]
	limits addressLimits
}

func newAddressQuota(perMinute int) *addressQuota {
	return &addressQuota{newLimiter[netip.Prefix](), newAddressLimits(perMinute)}
}

// take counts a request of an address. giveBack makes it count for nothing. Errors: TooManyRequests.
func (q *addressQuota) take(addr netip.Addr) (giveBack func(), refused error) {
	claims := q.limits.claims(addr)
	met, wait := q.limiter.take(1, claims...)
	return func() { q.giveBack(1, claims...) }, tooMany(met, wait, "Too many requests came from this address; try again later.")
}
