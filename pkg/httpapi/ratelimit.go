package httpapi

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"user-service/pkg/user"
)

// maxBuckets bounds the memory of the limiter: a bucket takes about 340 bytes with its place in
// the map and the list, all of them 5.5 MB. Past it the bucket that was used longest ago makes
// room, and its address starts over with a full one, as it would after a minute without a call
// anyway. An attacker with more addresses than this is not held by the limiter, and would hardly be
// by a larger one, since each address has a quota of its own: it meets the throttle of each
// account and the bounds of hashing. Nobody else is refused for it.
const maxBuckets = 1 << 14

// addressLimiter bounds how often each client address may call, with a token bucket for each,
// which starts full. One that is nil limits nothing.
type addressLimiter struct {
	limit user.Limit

	mu      sync.Mutex
	buckets *simplelru.LRU[netip.Addr, *rate.Limiter]
}

// newAddressLimiter returns a limiter of so many calls a minute, or nil for 0.
func newAddressLimiter(perMinute int) *addressLimiter {
	if perMinute == 0 {
		return nil
	}
	buckets, _ := simplelru.NewLRU[netip.Addr, *rate.Limiter](maxBuckets, nil) // it fails for a size of 0 only
	return &addressLimiter{limit: user.Limit{Policy: "address", Quota: perMinute, Window: time.Minute}, buckets: buckets}
}

// limited reports whether calls of the route count: those that cost something and that
// anyone may make.
func (r route) limited() bool { return r.who.Anonymous() && r.method == http.MethodPost }

// limit refuses a call of a limited route if its address has made too many of them.
func (a *API) limit(c *call, r route) error {
	if a.limiter == nil || !r.limited() {
		return nil
	}
	wait := a.limiter.take(c.addr)
	if wait == 0 {
		return nil
	}
	return &user.Error{
		Code: user.TooManyRequests, Detail: "Too many requests came from this address; try again later.",
		RetryAfter: wait, Limit: &a.limiter.limit,
	}
}

// take takes a token from the bucket of the address. It returns 0, or how long it will take until
// there is one.
func (l *addressLimiter) take(addr netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, now := l.bucket(addr), time.Now()
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return time.Duration(missing / float64(bucket.Limit()) * float64(time.Second))
}

// bucket returns the bucket of an address. All of an IPv6 /64 have the same one: that is what a
// single host is given, to take any address from.
func (l *addressLimiter) bucket(addr netip.Addr) *rate.Limiter {
	if addr.Is6() {
		addr = netip.PrefixFrom(addr, 64).Masked().Addr()
	}
	if bucket, ok := l.buckets.Get(addr); ok {
		return bucket
	}
	perSecond := float64(l.limit.Quota) / l.limit.Window.Seconds()
	bucket := rate.NewLimiter(rate.Limit(perSecond), l.limit.Quota)
	l.buckets.Add(addr, bucket)
	return bucket
}
