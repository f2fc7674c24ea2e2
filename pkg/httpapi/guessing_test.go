package httpapi_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/pkg/event"
)

// Addresses of three networks. home and homeToo are in the same network.
const (
	home, homeToo = "198.51.100.7", "198.51.100.250"
	travel        = "203.0.113.9"
	elsewhere     = "192.0.2.1"
)

// startBehindAProxy runs the API behind a trusted proxy, so that a test can choose the client address of a request.
func startBehindAProxy(t *testing.T, change ...func(*settings)) *server {
	t.Helper()
	return start(t, append(change, func(set *settings) { set.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })...)
}

func from(addr string) option { return header("X-Forwarded-For", addr) }

// try attempts a login from an address.
func (s *server) try(addr, email, pw string) answer {
	s.t.Helper()
	return s.call("POST", "/login", map[string]any{"email": email, "password": pw}, from(addr))
}

// guess attempts a login with a wrong password from an address.
func (s *server) guess(addr, email string) answer {
	s.t.Helper()
	return s.try(addr, email, "wrong "+goodPassword)
}

// attacker returns an address in the n-th network of an attacker.
func attacker(n int) string { return fmt.Sprintf("100.64.%d.%d", n, n+1) }

// guessEverywhere sends five logins with a wrong password from each of the attacker's networks. The service must check every password.
func (s *server) guessEverywhere(email string, networks int) {
	s.t.Helper()
	for n := range networks {
		for range 5 {
			s.guess(attacker(n), email).want(s.t, 401)
		}
	}
}

// wantShared checks that the response refuses an attempt because all unknown networks share one attempt per 15 minutes.
func wantShared(t *testing.T, got answer) {
	t.Helper()
	got.wantProblem(t, 429, "too-many-requests")
	const want = `"login";q=1;w=900`
	if policy := got.header.Get("RateLimit-Policy"); policy != want {
		t.Errorf("RateLimit-Policy is %q, want %q", policy, want)
	}
}

// TestLoginFailuresDoNotBlockOtherNetworks guesses many times from one network. Only that network has to back off.
func TestLoginFailuresDoNotBlockOtherNetworks(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a := s.register()
	for _, email := range []string{a.Email, "nobody@example.com"} {
		for range 5 {
			s.guess(elsewhere, email).wantProblem(t, 401, "invalid-credentials")
		}
		for _, wait := range []int{60, 120, 240, 480, 900, 900, 900} {
			wantLimit(t, s.guess(elsewhere, email), wait)
			wantLimit(t, s.try(elsewhere, email, goodPassword), wait)
			if email == a.Email {
				s.try(home, email, goodPassword).want(t, 200)
				s.try(travel, email, goodPassword).want(t, 200)
			}
			s.letTimePass()
			s.guess(elsewhere, email).wantProblem(t, 401, "invalid-credentials")
		}
	}
}

// TestAUserLogsInFromAKnownNetwork guesses from many networks. The user can still log in from a network of an earlier login.
func TestAUserLogsInFromAKnownNetwork(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a := s.register()
	s.try(home, a.Email, a.password).want(t, 200)
	for _, email := range []string{"nobody@example.com", a.Email} {
		s.guessEverywhere(email, 20)
		wantShared(t, s.guess(attacker(20), email))
		wantShared(t, s.try(travel, email, goodPassword))
		s.letTimePass()
		s.guess(attacker(21), email).wantProblem(t, 401, "invalid-credentials") // the attempt that all unknown networks share
		wantShared(t, s.guess(attacker(22), email))
		wantShared(t, s.try(travel, email, goodPassword))
	}
	for range 4 {
		s.guess(homeToo, a.Email).wantProblem(t, 401, "invalid-credentials")
	}
	a.token = decode[tokens](t, s.try(home, a.Email, a.password).want(t, 200)).AccessToken
	for _, email := range []string{"other-" + a.Email, a.Email} {
		edit := map[string]any{"email": email, "current_password": a.password}
		s.call("PATCH", "/users/me", edit, as(a.token), from(travel)).want(t, 200)
	}
	s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token), from(travel)).want(t, 200)
	s.try(home, a.Email, newPassword).want(t, 200)
	wantShared(t, s.try(travel, a.Email, newPassword))
	for range 5 {
		s.guess(home, a.Email).wantProblem(t, 401, "invalid-credentials")
	}
	wantLimit(t, s.try(homeToo, a.Email, newPassword), 60) // a known network has its own backoff

	s.execute(`DELETE FROM password_failures`)
	s.try(home, a.Email, newPassword).want(t, 200)
	s.execute(`UPDATE login_networks SET last_login_at = last_login_at - interval '90 days'`)
	wantShared(t, s.try(home, a.Email, newPassword))
	s.letTimePass()
	s.try(home, a.Email, newPassword).want(t, 200) // the network is known again, and the shared attempt is still available
	s.guess(attacker(23), a.Email).wantProblem(t, 401, "invalid-credentials")
	wantShared(t, s.guess(attacker(24), a.Email))
	s.try(home, a.Email, newPassword).want(t, 200)
}

// TestAnAttackerCannotDetectALogin checks that a login of the user from another network does not change the responses to an attacker.
func TestAnAttackerCannotDetectALogin(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a := s.register()
	for _, email := range []string{a.Email, "nobody@example.com"} {
		for range 4 {
			s.guess(elsewhere, email).want(t, 401)
		}
		s.try(home, a.Email, a.password).want(t, 200)
		s.guess(elsewhere, email).want(t, 401)
		s.guess(elsewhere, email).want(t, 429)

		s.guessEverywhere(email, 18) // 95 failures in total
		s.guess(home, email).want(t, 401)
		s.try(home, a.Email, a.password).want(t, 200)
		for range 4 {
			s.guess(travel, email).want(t, 401)
		}
		wantShared(t, s.guess(travel, email))
		wantShared(t, s.guess(attacker(20), email))
		s.try(home, a.Email, a.password).want(t, 200)
		wantShared(t, s.guess(attacker(20), email))
	}
}

// TestAUserLogsInAfterAResetDuringAnAttack resets the password while an attacker guesses once or ten times a second. The user needs some
// seconds to enter the new password and can then log in.
func TestAUserLogsInAfterAResetDuringAnAttack(t *testing.T) {
	t.Parallel()
	for name, guesses := range map[string]int{
		"8 seconds at 1 a second": 8, "3 seconds at 10 a second": 30,
		"15 seconds at 10 a second": 150,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startBehindAProxy(t)
			a := s.register()
			s.guessEverywhere(a.Email, 20)
			token := s.askForReset(a.Email)
			wantShared(t, s.try(travel, a.Email, a.password))
			s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": newPassword},
				from(travel)).want(t, 204)
			for n := range guesses {
				s.guess(elsewhere, a.Email)
				s.guess(attacker(n), a.Email)
			}
			s.guess(elsewhere, a.Email).want(t, 429)
			if guesses > 100 {
				wantShared(t, s.guess(attacker(200), a.Email))
			}
			s.try(travel, a.Email, newPassword).want(t, 200)

			for n := range 100 { // until the unknown networks share one attempt again
				s.guess(attacker(100+n), a.Email)
			}
			wantShared(t, s.guess(attacker(200), a.Email))
			s.try(travel, a.Email, newPassword).want(t, 200)
		})
	}
}

// TestAResetClearsTheFailures confirms a reset after login failures from the same network and after failed reauthentications. The old
// failures must no longer count: the network gets four more attempts before the user logs in, and a reauthentication succeeds.
func TestAResetClearsTheFailures(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a := s.register()
	for range 5 {
		s.guess(homeToo, a.Email).want(t, 401)
		s.call("PATCH", "/users/me", map[string]any{"email": "b@example.com", "current_password": "wrong"}, as(a.token)).want(t, 403)
	}
	s.guess(home, a.Email).want(t, 429)
	reset := map[string]any{"token": s.askForReset(a.Email), "new_password": newPassword}
	s.call("POST", "/password-reset/confirm", reset, from(home)).want(t, 204)
	for range 4 {
		s.guess(homeToo, a.Email).want(t, 401)
	}
	a.token = decode[tokens](t, s.try(home, a.Email, newPassword).want(t, 200)).AccessToken
	s.call("PATCH", "/users/me", map[string]any{"email": "b@example.com", "current_password": newPassword}, as(a.token)).want(t, 200)
}

// TestAResetSucceedsDuringConcurrentGuesses confirms a reset while an attacker guesses from many networks as fast as possible.
func TestAResetSucceedsDuringConcurrentGuesses(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	other := startBehindAProxy(t, func(set *settings) { set.database = s.dsn })
	a := s.register()
	s.guessEverywhere(a.Email, 20)
	token := s.askForReset(a.Email)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			for i := n; !stop.Load(); i += 6 {
				[]*server{s, other}[i%2].guess(attacker(i%200), a.Email)
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	patiently(func() answer {
		return s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": newPassword}, from(travel))
	}).want(t, 204)
	for range 10 {
		patiently(func() answer { return other.try(travel, a.Email, newPassword) }).want(t, 200)
	}
}

func TestLoginFailuresCountPerNetwork(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	for name, c := range map[string]struct{ within, outside []string }{
		"an IPv6 /56": {
			[]string{"2001:db8:0:aa00::1", "2001:db8:0:aaff::1", "2001:db8:0:aa7f:1:2:3:4"},
			[]string{"2001:db8:0:ab00::1", "2001:db8:1:aa00::1"},
		},
		"an IPv4 /24": {
			[]string{"198.51.100.0", "198.51.100.255", "::ffff:198.51.100.9"},
			[]string{"198.51.101.0", "198.51.99.255"},
		},
		"an IPv4 /24 as IPv6": {[]string{"::ffff:192.0.2.1", "192.0.2.77"}, []string{"::ffff:192.0.3.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			email := fmt.Sprintf("nobody-%d@example.com", len(c.within[0]))
			for i := range 5 {
				s.guess(c.within[i%len(c.within)], email).want(t, 401)
			}
			for _, addr := range c.within {
				s.guess(addr, email).want(t, 429)
			}
			for _, addr := range c.outside {
				s.guess(addr, email).want(t, 401)
			}
		})
	}
}

// TestABackoffCostsNoHash checks that no replica computes a hash during the backoff for an email, whether or not the email has an account.
func TestABackoffCostsNoHash(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	other := startBehindAProxy(t, func(set *settings) { set.database = s.dsn })
	a, disabled, admin := s.register(), s.register(), s.admin()
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	for _, backoff := range []func(string){
		func(email string) {
			for range 5 {
				s.guess(travel, email).want(t, 401)
			}
		},
		func(email string) { s.guessEverywhere(email, 19); s.guess(travel, email) },
	} {
		var bodies []string
		for _, email := range []string{a.Email, disabled.Email, "nobody@example.com"} {
			backoff(email)
			before := s.hashes.Load() + other.hashes.Load()
			for range 5 {
				for _, got := range []answer{s.guess(travel, email), other.try(travel, email, goodPassword)} {
					p := got.wantProblem(t, 429, "too-many-requests")
					p.RequestID = ""
					bodies = append(bodies, fmt.Sprintf("%+v %v", p, got.header["Ratelimit-Policy"]))
				}
			}
			if n := s.hashes.Load() + other.hashes.Load() - before; n != 0 {
				t.Errorf("%d hashes during the backoff of %s, want none", n, email)
			}
		}
		for _, body := range bodies[1:] {
			if body != bodies[0] {
				t.Errorf("%s\ndiffers from\n%s", body, bodies[0])
			}
		}
		s.letTimePass()
	}
	if n := len(s.audit(admin.token, "limit=100&user_id="+a.ID.String()+"&action=authn_login_fail")); n < 20 {
		t.Errorf("%d entries in the audit trail, want at least 20: one for each refused attempt", n)
	}
}

// TestLoginFailuresExpire checks that failure counts expire a day after the last failure, even while their rows still exist. An attempt
// that is refused without a check of the password must not count as a failure.
func TestLoginFailuresExpire(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	const email = "nobody@example.com"
	for range 4 {
		s.guess(travel, email).want(t, 401)
	}
	age := func() {
		for _, table := range []string{"password_failures", "login_failures"} {
			s.execute(`UPDATE ` + table + ` SET failed_at = failed_at - interval '24 hours'`)
		}
	}
	age()
	for range 5 {
		s.guess(travel, email).want(t, 401)
	}
	for range 3 {
		s.guess(travel, email).want(t, 429)
	}
	n := s.execute(`UPDATE password_failures SET failed_at = blocked_until - interval '1 minute'
		WHERE failed_at = blocked_until - interval '1 minute'`)
	if n != 1 {
		t.Errorf("%d counts have the time of the last checked attempt, want 1: refused attempts must not extend a count", n)
	}
	s.guessEverywhere(email, 19)
	wantShared(t, s.guess(home, email))
	age()
	s.letTimePass()
	s.guess(home, email).want(t, 401)
	s.guess(home, email).want(t, 401)
}

// TestALockOutIsAnnouncedOnceAnHour checks that failed logins and failed reauthentications together cause at most one lockout event per
// hour for each user. An unknown email must not cause an event.
func TestALockOutIsAnnouncedOnceAnHour(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a, b := s.register(), s.register()
	type lockOut struct {
		ID    string
		Until time.Time
	}
	for i, want := range []int{1, 1, 2} {
		for _, email := range []string{a.Email, "nobody@example.com"} {
			for n := range 3 {
				for range 5 {
					s.guess(attacker(3*i+n), email).want(t, 401)
				}
			}
		}
		for range 5 {
			s.call("PATCH", "/users/me", map[string]any{"email": "b@example.com", "current_password": "wrong"}, as(a.token))
		}
		if n := len(s.events(event.LockedOut)); n != want {
			t.Errorf("%d lockout events, want %d", n, want)
		}
		e, data := lastEvent[lockOut](t, s, event.LockedOut)
		wait := time.Until(data.Until)
		if data.ID != a.ID.String() || e.Subject != a.ID || e.UserVersion != 1 || wait < 0 || wait > time.Minute {
			t.Errorf("the event is %+v with %+v, want one about the user with a backoff of at most a minute", e, data)
		}
		if i == 1 {
			s.execute(`UPDATE credentials SET locked_out_at = locked_out_at - interval '1 hour'`)
		}
	}
	for range 5 {
		s.guess(travel, b.Email).want(t, 401)
	}
	if e, _ := lastEvent[lockOut](t, s, event.LockedOut); e.Subject != b.ID {
		t.Errorf("the last event is %+v, want one about the second user", e)
	}
}

// TestZeroMaxFailuresDisablesTheTotal checks that MaxFailures 0 also disables the limit of failures over all networks.
func TestZeroMaxFailuresDisablesTheTotal(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t, func(set *settings) { set.cfg.MaxFailures = 0 })
	a := s.register()
	s.guessEverywhere(a.Email, 21)
	s.try(travel, a.Email, a.password).want(t, 200)
	if n := len(s.events(event.LockedOut)); n != 0 {
		t.Errorf("%d lockout events, want none", n)
	}
}
