// Package timing_test holds the time of answers to the promise that it tells nothing about
// accounts. Its tests run one after another: two that measure at once measure each other.
package timing_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"user-service/pkg/httpapi"
	"user-service/pkg/password"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const goodPassword = "seven green kettles sing"

// hashTime is about what a hash takes here: less than with the service's defaults, which would
// hide more of the differences that are not of the hash.
const hashTime = 10 * time.Millisecond

// newHasher chooses the memory by the time it takes, as the race detector makes a hash ten times as dear.
func newHasher(t *testing.T) *password.Hasher {
	t.Helper()
	for cost := (password.Params{MemoryKiB: 8192, Iterations: 2, Parallelism: 1}); ; cost.MemoryKiB /= 2 {
		hasher, err := password.NewHasher(cost, password.Limits{Concurrency: 1, Queue: 8, MaxWait: time.Minute}, nil)
		if err != nil {
			t.Fatal(err)
		}
		best := time.Hour
		for range 5 {
			began := time.Now()
			if _, err := hasher.Hash(t.Context(), goodPassword); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		if best < hashTime*3/2 || cost.MemoryKiB <= 512 {
			return hasher
		}
	}
}

// target is the API on a database of its own.
type target struct {
	*httptest.Server
	t     *testing.T
	users *user.Service
	pool  *pgxpool.Pool // for what no call can do
}

// newTarget serves the API; store may put something between the service and its database.
func newTarget(t *testing.T, store func(user.Store) user.Store) *target {
	t.Helper()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	tokens, err := token.New(token.Config{Keys: token.Keys{Secret: strings.Repeat("secret", 8)}, AccessTTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	users := user.New(user.Config{
		RegistrationEnabled: true, MaxFailures: 5, Passwords: password.Policy{MinLength: 15},
		RefreshIdleTTL: time.Hour, RefreshTTL: time.Hour,
	}, store(db), newHasher(t), tokens)
	api := httpapi.New(httpapi.Config{}, users, httpapi.NewHealth(), unobserved{}, slog.New(slog.DiscardHandler))
	s := &target{Server: httptest.NewServer(api.Handler()), t: t, users: users, pool: pool}
	t.Cleanup(s.Close)
	return s
}

func plain(s user.Store) user.Store { return s }

type unobserved struct{}

func (unobserved) RequestStarted(context.Context, string) func(string, int) {
	return func(string, int) {}
}
func (unobserved) RefreshDone(string) {}
func (unobserved) LoginDone(string)   {}
func (unobserved) RateLimited(string) {}

// account makes an active account.
func (s *target) account(email string) {
	s.t.Helper()
	if _, err := s.users.Create(s.t.Context(), user.Registration{Email: email, Password: goodPassword}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *target) disabled(email string) {
	s.t.Helper()
	s.account(email)
	s.sql(`UPDATE users SET status = 'disabled' WHERE email = $1`, email)
}

func (s *target) sql(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

// probe is a kind of request whose time is compared with that of others.
type probe struct {
	name   string
	path   string
	body   func() string
	status int // of the answer, so that it is that kind
}

// send returns the seconds until the answer has been read.
func (s *target) send(p probe) float64 {
	s.t.Helper()
	body, began := strings.NewReader(p.body()), time.Now()
	resp, err := s.Client().Post(s.URL+p.path, "application/json", body)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != p.status {
		s.t.Fatalf("%s: %s %s, want %d (%v)", p.name, resp.Status, text, p.status, err)
	}
	return took.Seconds()
}

// rounds says how long to measure.
type rounds struct {
	least int           // rounds, so that it is no accident that they agree
	limit time.Duration // past which no other round begins, if there have been enough
	tries int           // of each kind in a round, of which the fastest counts: other work only makes one slower
}

// measure takes samples of each kind, in each round in another order, until every interval is
// narrow or the time is up. Reset puts back, before each round, what the last one has changed.
func (s *target) measure(r rounds, probes []probe, reset func()) comparison {
	s.t.Helper()
	samples := make(map[string][]float64)
	names := make([]string, len(probes))
	for i, p := range probes {
		names[i] = p.name
		s.send(p) // connections are opened, statements prepared
	}
	var all comparison
	began := time.Now()
	for n := 1; n <= r.least || !all.narrow && time.Since(began) < r.limit; n++ {
		reset()
		for name, seconds := range s.round(probes, r.tries) {
			samples[name] = append(samples[name], seconds)
		}
		if n >= r.least {
			all = compareAll(names, samples)
		}
	}
	s.t.Logf("%d rounds in %.1f s, narrow: %t\n%s", len(samples[names[0]]), time.Since(began).Seconds(), all.narrow, all)
	return all
}

// round returns the fastest of so many tries of each kind.
func (s *target) round(probes []probe, tries int) map[string]float64 {
	s.t.Helper()
	best := make(map[string]float64)
	for range tries {
		for _, i := range rand.Perm(len(probes)) {
			name, took := probes[i].name, s.send(probes[i])
			if so, sent := best[name]; !sent || took < so {
				best[name] = took
			}
		}
	}
	return best
}

// credentials is the body of a login or a registration.
func credentials(email, pw string) func() string {
	return func() string { return fmt.Sprintf(`{"email": %q, "password": %q}`, email, pw) }
}
