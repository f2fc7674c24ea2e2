package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/password"
)

// The first and the longest backoff. The backoff doubles with each further failure. No account is locked forever, and an attacker on one
// network has about a hundred attempts a day (OWASP Authentication Cheat Sheet, account lockout).
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// maxTotal is the number of failures for one email from all networks together after which all networks share one attempt in longestWait.
// The networks from which the owner of the email has logged in are exempt.
const maxTotal = 100

const (
	// FailuresTTL is the time after which a count of failures expires. It starts at the last failure.
	FailuresTTL = 24 * time.Hour
	// NetworkTTL is the time for which a network stays known after the last login from it.
	NetworkTTL = 90 * 24 * time.Hour
	// MaxNetworks is the maximum number of known networks of a user. A further network replaces the least recently used one.
	MaxNetworks = 100
	// LockedOutInterval is the minimum time between two events of the type event.LockedOut for one user.
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

// flow returns the key of a request in the hash queue: the class, and the IPv4 /24 or IPv6 /48 network of its address. The key has a
// network because one attacker may use all addresses of such a network.
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

// Attempt identifies the counter in which an attempt counts. Logins have one counter for each email and network; reauthentications have
// one counter for each user.
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

// backoff returns the remaining time of the backoff. It returns 0 if this time is longer than longestWait, because then the clock was set
// back after the backoff had begun.
func (f FailureCount) backoff(now time.Time) time.Duration {
	if left := f.BlockedUntil.Sub(now); left > 0 && left <= longestWait {
		return left
	}
	return 0
}

// LoginFailures are the counts for an attempt. Attempts with unknown emails are counted too.
type LoginFailures struct {
	// Network counts the failures for the email from this network, or the failed reauthentications of the user.
	Network FailureCount
	// Total counts the failures for the email from all networks together. It is zero for a reauthentication.
	Total FailureCount
	// Known means that Total does not apply: the owner of the email has logged in from this network, or the attempt is a
	// reauthentication.
	Known  bool
	UserID uuid.UUID // the user with the email, or who reauthenticates; otherwise the nil UUID
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

// backoffError returns the error with which an attempt is refused during a backoff, or nil without a backoff.
func (s *Service) backoffError(g LoginFailures) error {
	if s.cfg.MaxFailures == 0 {
		return nil
	}
	wait, limit := g.Network.backoff(g.Now), Limit{Policy: "login", Quota: s.cfg.MaxFailures, Window: s.backoffAfter(g.Network.Count)}
	if total := g.Total.backoff(g.Now); !g.Known && total > wait {
		wait, limit = total, Limit{Policy: "login", Quota: 1, Window: longestWait}
	}
	return backoffRefusal(wait, limit)
}

// backoffRefusal returns the error of an attempt that is refused for the time wait, or nil if wait is 0.
func backoffRefusal(wait time.Duration, limit Limit) error {
	if wait == 0 {
		return nil
	}
	return &Error{
		Code: TooManyRequests, Detail: "Too many failed attempts; wait, then try again.",
		RetryAfter: wait, Limit: &limit,
	}
}

// countFailure returns the counts after one more failure. until is the end of the backoff that begins with this failure, or zero.
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
