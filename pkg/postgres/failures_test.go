package postgres_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/event"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// failuresFor returns the counts of the login failures for an email and a network.
func failuresFor(t *testing.T, db *postgres.DB, email, network string) user.LoginFailures {
	t.Helper()
	g, err := db.LoginFailures(t.Context(), user.Attempt{Email: email, Network: netip.MustParsePrefix(network)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// isBlocked reports whether a backoff is in force.
func isBlocked(f user.FailureCount, g user.LoginFailures) bool { return f.BlockedUntil.After(g.Now) }

// beforeNetworks rolls back migration 6, which counts failures by network, and all later ones.
func beforeNetworks(t *testing.T, dsn string) *postgres.Migrator {
	t.Helper()
	m := newMigrator(t, dsn)
	for {
		done, err := m.Down(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if done.Source.Version == 6 {
			return m
		}
	}
}

// oldFailure records a login failure that begins a backoff, as a replica of the previous version records it.
const oldFailure = `
	INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until)
	VALUES (sha256(convert_to($1, 'UTF8')), 5, now(), now() + interval '10 minutes')
	ON CONFLICT (email_hash) DO UPDATE
	SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`

// TestABackoffOutlastsTheMigration checks a backoff that begins before the migration, and one that a replica of the previous version
// begins after it. Both must apply to all networks together. The networks of logins that the audit trail records must be known networks
// of the user.
func TestABackoffOutlastsTheMigration(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	a := create(t, postgrestest.Connect(t, dsn, nil), "a@example.com")
	m := beforeNetworks(t, dsn)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	logins := 0
	note := func(age, action, ip string) {
		t.Helper()
		logins++
		if _, err := conn.Exec(t.Context(), `
			INSERT INTO audit_events (id, time, action, user_id, ip)
			SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
				|| '7' || lpad($5::text, 3, '0') || '8' || repeat('0', 15))::uuid,
				at, $2, $3, nullif($4, '')::inet
			FROM (SELECT now() - $1::interval AS at) AS moment`, age, action, a.ID, ip, fmt.Sprint(logins)); err != nil {
			t.Fatal(err)
		}
	}
	note("89 days", "authn_login_success", "198.51.100.7")
	note("1 hour", "authn_login_success", "198.51.100.9")
	note("91 days", "authn_login_success", "203.0.113.9")
	note("1 hour", "authn_login_fail", "192.0.2.1")
	note("1 hour", "authn_login_success", "2001:db8:0:aaff::1")
	note("1 hour", "authn_login_success", "")
	blocked := []string{a.Email, "nobody@example.com"}
	for _, email := range blocked {
		if _, err := conn.Exec(t.Context(), oldFailure, email); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(email string) {
		t.Helper()
		for network, known := range map[string]bool{
			"198.51.100.0/24": true, "2001:db8:0:aa00::/56": true, "203.0.113.0/24": false, "192.0.2.0/24": false, "0.0.0.0/0": false,
		} {
			g := failuresFor(t, db, email, network)
			if !isBlocked(g.Total, g) || isBlocked(g.Network, g) || g.Total.Count != 5 || g.Known != (known && email == a.Email) {
				t.Errorf("%s from %s: %+v, want 5 failures, a backoff of all networks, known %t", email, network, g,
					known && email == a.Email)
			}
		}
	}
	for _, email := range blocked {
		check(email)
	}
	var first, last time.Time
	row := conn.QueryRow(t.Context(), `SELECT first_login_at, last_login_at FROM login_networks WHERE network = '198.51.100.0/24'`)
	if err := row.Scan(&first, &last); err != nil || time.Since(first) < 88*24*time.Hour || time.Since(last) > 2*time.Hour {
		t.Errorf("the first login was at %s and the last one at %s (%v), want 89 days and 1 hour ago", first, last, err)
	}
	if _, err := conn.Exec(t.Context(), oldFailure, "later@example.com"); err != nil {
		t.Fatal(err)
	}
	check("later@example.com")
}

// TestABackoffOutlastsTheRollback rolls the migration back during a backoff of one network. Afterwards the backoff must apply to all
// networks.
func TestABackoffOutlastsTheRollback(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	a := create(t, db, "a@example.com")
	block := func(email string, wait time.Duration) {
		t.Helper()
		attempt := user.Attempt{Email: email, Network: home}
		if _, err := db.RecordAttempt(t.Context(), attempt, func(g user.LoginFailures) (user.LoginDecision, error) {
			g.Network = user.FailureCount{Count: 7, BlockedUntil: g.Now.Add(wait)}
			g.Total.Count++
			return user.LoginDecision{Failure: &g}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	block(a.Email, time.Hour)
	block("nobody@example.com", -time.Hour)
	m := beforeNetworks(t, dsn)
	rows, err := conn.Query(t.Context(), `SELECT failures FROM login_failures WHERE blocked_until > now() + interval '50 minutes'`)
	if err != nil {
		t.Fatal(err)
	}
	if failures, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || len(failures) != 1 || failures[0] != 7 {
		t.Errorf("the backoffs in force have %v failures (%v), want [7]", failures, err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := failuresFor(t, db, a.Email, "203.0.113.0/24"); !isBlocked(g.Total, g) {
		t.Errorf("after the second migration: %+v, want a backoff of all networks", g)
	}
}

// TestAResetClearsTheCountOfAConcurrentAttempt confirms a password reset while an attempt is being decided. The attempt must not store
// again the counts that it read before the reset.
func TestAResetClearsTheCountOfAConcurrentAttempt(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	for name, attempted := range map[string]func(user.User) user.Attempt{
		"login":            func(u user.User) user.Attempt { return user.Attempt{Email: u.Email, Network: home} },
		"reauthentication": func(u user.User) user.Attempt { return user.Attempt{UserID: u.ID} },
	} {
		u := create(t, db, name+"@example.com")
		var wg sync.WaitGroup
		_, err := db.RecordAttempt(t.Context(), attempted(u), func(g user.LoginFailures) (user.LoginDecision, error) {
			wg.Go(func() {
				if err := redeem(t.Context(), db, u); err != nil {
					t.Error(err)
				}
			})
			postgrestest.WaitForLock(t, conn)
			g.Network = user.FailureCount{Count: 7, BlockedUntil: g.Now.Add(time.Hour)}
			g.Total = user.FailureCount{Count: 170, BlockedUntil: g.Now.Add(time.Hour)}
			return user.LoginDecision{Failure: &g}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		g, err := db.LoginFailures(t.Context(), attempted(u))
		if err != nil || g.Network.Count != 0 || g.Total.Count != 0 || isBlocked(g.Network, g) || isBlocked(g.Total, g) {
			t.Errorf("%s: %+v (%v), want no failures after the reset", name, g, err)
		}
		if !failuresFor(t, db, u.Email, home.String()).Known {
			t.Errorf("%s: the network of the reset is unknown, want known", name)
		}
	}
}

// TestAnErasureDeletesFailuresAndNetworks erases a user who has failed logins, failed reauthentications and a known network. Only the
// rows of the other user may remain.
func TestAnErasureDeletesFailuresAndNetworks(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	gone, other := create(t, db, "gone@example.com"), create(t, db, "other@example.com")
	for _, u := range []user.User{gone, other} {
		session(t, db, u)
		for _, a := range []user.Attempt{{Email: u.Email, Network: home}, {UserID: u.ID}} {
			if _, err := db.RecordAttempt(t.Context(), a, func(g user.LoginFailures) (user.LoginDecision, error) {
				g.Network.Count++
				return user.LoginDecision{Failure: &g}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove(t, db, gone.ID)
	for table, want := range map[string]int{"login_networks": 1, "login_failures": 1, "password_failures": 2} {
		var n int
		if err := connect(t, dsn).QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != want {
			t.Errorf("%d rows of %s are left (%v), want the %d of the other user", n, table, err, want)
		}
	}
}

// TestNetworksOfAUserAreBounded logs in from a new network while the user already has the maximum number of known networks. The new
// network must replace the least recently used one.
func TestNetworksOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	u := create(t, db, "a@example.com")
	execute(t, dsn, fmt.Sprintf(`
		INSERT INTO login_networks
		SELECT '%s', set_masklen('10.0.0.0'::inet + n * 256, 24)::cidr, now(), now() - interval '1 day' + n * interval '1 second'
		FROM generate_series(1, %d) n`, u.ID, user.MaxNetworks))
	session(t, db, u)
	for network, known := range map[string]bool{home.String(): true, "10.0.1.0/24": false, "10.0.2.0/24": true} {
		if got := failuresFor(t, db, u.Email, network).Known; got != known {
			t.Errorf("%s: known is %t, want %t", network, got, known)
		}
	}
	var n int
	if err := connect(t, dsn).QueryRow(t.Context(), `SELECT count(*) FROM login_networks`).Scan(&n); err != nil || n != user.MaxNetworks {
		t.Errorf("%d networks are stored (%v), want %d", n, err, user.MaxNetworks)
	}
}

// TestConcurrentLockOutsPublishOneEvent concurrently begins several backoffs for the logins and the reauthentications of one user. Only
// one event may be stored.
func TestConcurrentLockOutsPublishOneEvent(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	u := create(t, db, "a@example.com")
	execute(t, dsn, `DELETE FROM outbox`)
	lockOut := func(ctx context.Context, a user.Attempt) error {
		_, err := db.RecordAttempt(ctx, a, func(g user.LoginFailures) (user.LoginDecision, error) {
			e, err := event.New(event.LockedOut, u.ID, 0, g.Now, event.LockOut{ID: u.ID})
			return user.LoginDecision{Failure: &g, LockedOut: e}, err
		})
		return err
	}
	var wg sync.WaitGroup
	for range 4 {
		for _, a := range []user.Attempt{{Email: u.Email, Network: home}, {UserID: u.ID}} {
			wg.Go(func() {
				if err := lockOut(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if rows := postgrestest.Rows(t, dsn); strings.Count(rows, string(event.LockedOut)) != 1 {
		t.Errorf("%d lock-out events are stored, want 1:\n%s", strings.Count(rows, string(event.LockedOut)), rows)
	}
}
