package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/password"
)

// The backoff after too many failures in a row: the first wait, which doubles with each further
// failure, and the longest one. So nobody is locked out for ever, and who guesses has about a hundred
// tries a day (OWASP Authentication Cheat Sheet, account lockout).
const (
	firstWait   = time.Minute
	longestWait = 15 * time.Minute
)

// maxTotal is how many failures with one email are judged from all networks together. After them all networks share
// one attempt in longestWait, except those from which the owner of the email has logged in.
const maxTotal = 100

const (
	// FailuresTTL is how long after its last failure a count expires.
	FailuresTTL = 24 * time.Hour
	// NetworkTTL is how long after a login its network is a known one of the user.
	NetworkTTL = 90 * 24 * time.Hour
	// MaxNetworks is how many known networks a user has at most. One more makes the service forget the one whose last
	// login is the oldest.
	MaxNetworks = 100
	// LockedOutInterval is how long after an event.LockedOut a user gets no other one.
	LockedOutInterval = time.Hour
)

// NetworkOf returns the network to whose failures those of an address are added: its /24 for IPv4, its /56 for IPv6,
// which is what one customer of a provider gets. All requests without an address share 0.0.0.0/0.
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

// flow returns whose hashes those of a request are queued with: those of its IPv4 /24 or IPv6 /48, of which a flood can
// take every part.
func flow(ctx context.Context, class password.Class) password.Flow {
	ip := OriginOf(ctx).IP.Unmap().WithZone("")
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	source, _ := ip.Prefix(bits) // the zero one without an address
	return password.Flow{Class: class, Source: source}
}

// second returns the flow for the second hash of a request.
func second(f password.Flow) password.Flow {
	f.Second = true
	return f
}

// Attempt is what failures are counted for: a login with an email from a network, or a user who
// enters their own password again. Neither counts for the other.
type Attempt struct {
	Email   string
	Network netip.Prefix
	UserID  uuid.UUID // not nil: a user enters their own password again, and the other fields are empty
}

// class is what the hash of the attempt is for.
func (a Attempt) class() password.Class {
	if a.UserID != uuid.Nil {
		return password.Reauthentication
	}
	return password.Login
}

// FailureCount is a count of failures in a row.
type FailureCount struct {
	Count        int
	BlockedUntil time.Time
}

// backoff returns how long the backoff still lasts. One that lasts longer than any began before the clock was set back, and is over.
func (f FailureCount) backoff(now time.Time) time.Duration {
	if left := f.BlockedUntil.Sub(now); left > 0 && left <= longestWait {
		return left
	}
	return 0
}

// LoginFailures is what is known of failures, whether or not the email has an account.
type LoginFailures struct {
	Network FailureCount // of the email from this network, or of the user
	Total   FailureCount // of the email from all networks; none for a user
	Known   bool         // Total makes no attempt wait: the owner has logged in from this network, or is logged in
	UserID  uuid.UUID    // who is attempted; nil if no account has the email
	Now     time.Time    // by the clock that all replicas share
}

// backoffAfter returns how long the next attempt has to wait after so many failures in a row.
func (s *Service) backoffAfter(failures int) time.Duration {
	over := failures - s.cfg.MaxFailures
	if s.cfg.MaxFailures == 0 || over < 0 {
		return 0
	}
	return min(firstWait<<min(over, 10), longestWait)
}

// backoffError refuses an attempt during the backoff.
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
		Code: TooManyRequests, Detail: "Too many failed attempts in a row; wait, then try again.",
		RetryAfter: wait, Limit: &limit,
	}
}

// countFailure returns the counts after one more failure, and the end of the backoff that begins with it, if one does.
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
