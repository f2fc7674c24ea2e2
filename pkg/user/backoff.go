package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/password"
)

// The first and the longest backoff. The backoff doubles with each further failure. No account is locked forever, and an attacker has
// about a hundred attempts a day (OWASP Authentication Cheat Sheet, account lockout).
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// maxTotal is a number of failures with one email from all networks together. After that many failures, all networks share one attempt
// in longestWait, except the networks from which the owner of the email has logged in.
const maxTotal = 100

const (
	// FailuresTTL is the time from its last failure until a count expires.
	FailuresTTL = 24 * time.Hour
	// NetworkTTL is the time from a login until its network is no longer known.
	NetworkTTL = 90 * 24 * time.Hour
	// MaxNetworks is the maximum number of known networks of a user. A further network replaces the least recently used one.
	MaxNetworks = 100
	// LockedOutInterval is the minimum time between two event.LockedOut of a user.
	LockedOutInterval = time.Hour
)

// NetworkOf returns the network for which the failures of an address are counted: its IPv4 /24 or its IPv6 /56. Providers assign a /56
// to one customer. Requests without an address share 0.0.0.0/0.
func NetworkOf(ip netip.Addr) netip.Prefix {
	bits := 56
	switch ip = ip.Unmap().WithZone(""); {
	case !ip.IsValid():
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case ip.Is4():
		bits = 24
	}
	return netip.PrefixFrom(ip, bits).Masked()
}

// flow returns the hash queue's key for a request: its class, and its IPv4 /24 or IPv6 /48. The key is a network because one attacker
// may use all addresses of such a network.
func flow(ctx context.Context, class password.Class) password.Flow {
	ip := OriginOf(ctx).IP.Unmap().WithZone("")
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	source, _ := ip.Prefix(bits) // the zero Prefix without an address
	return password.Flow{Class: class, Source: source}
}

// second returns the flow for the second hash of a request.
func second(f password.Flow) password.Flow {
	f.Second = true
	return f
}

// Attempt identifies the counter of an attempt: a login with an email from a network, or a reauthentication of a user. Each has its own
// counter.
type Attempt struct {
	Email   string
	Network netip.Prefix
	UserID  uuid.UUID // set for a reauthentication; then the other fields are empty
}

// class returns the class of the attempt's hash.
func (a Attempt) class() password.Class {
	if a.UserID != uuid.Nil {
		return password.Reauthentication
	}
	return password.Login
}

// FailureCount is a number of consecutive failures.
type FailureCount struct {
	Count        int
	BlockedUntil time.Time
}

// backoff returns the rest of the backoff. It returns 0 if the rest is longer than longestWait, because then the clock was set back
// after the backoff had begun.
func (f FailureCount) backoff(now time.Time) time.Duration {
	if left := f.BlockedUntil.Sub(now); left > 0 && left <= longestWait {
		return left
	}
	return 0
}

// LoginFailures are the counts for an attempt. They exist for unknown emails too.
type LoginFailures struct {
	// Network counts the failures of the email from this network, or the failures of the user's reauthentications.
	Network FailureCount
	// Total counts the failures of the email from all networks. It is zero for a reauthentication.
	Total FailureCount
	// Known means that Total does not apply: the owner has logged in from this network, or reauthenticates.
	Known  bool
	UserID uuid.UUID // the user with the email, or the nil UUID
	Now    time.Time // the database's time
}

// backoffAfter returns the backoff after a number of consecutive failures.
func (s *Service) backoffAfter(failures int) time.Duration {
	over := failures - s.cfg.MaxFailures
	if s.cfg.MaxFailures == 0 || over < 0 {
		return 0
	}
	return min(firstWait<<min(over, 10), longestWait)
}

// backoffError returns the refusal of an attempt during a backoff, or nil.
func (s *Service) backoffError(g LoginFailures) error {
	if s.cfg.MaxFailures == 0 {
		return nil
	}
	wait, limit := g.Network.backoff(g.Now), Limit{Policy: "login", Quota: s.cfg.MaxFailures, Window: s.backoffAfter(g.Network.Count)}
	if total := g.Total.backoff(g.Now); !g.Known && total > wait {
		wait, limit = total, Limit{Policy: "login", Quota: 1, Window: longestWait}
	}
	if wait == 0 {
		return nil
	}
	return &Error{
		Code: TooManyRequests, Detail: "Too many failed attempts; wait, then try again.",
		RetryAfter: wait, Limit: &limit,
	}
}

// countFailure returns the counts after one more failure. until is the end of a backoff that begins with it, or zero.
func (s *Service) countFailure(g LoginFailures) (counts LoginFailures, until time.Time) {
	g.Network.Count++
	g.Total.Count++
	if wait := s.backoffAfter(g.Network.Count); wait > 0 {
		until = g.Now.Add(wait)
		g.Network.BlockedUntil = until
	}
	if s.cfg.MaxFailures > 0 && !g.Known && g.Total.Count >= maxTotal {
		until = g.Now.Add(longestWait)
		g.Total.BlockedUntil = until
	}
	return g, until
}
