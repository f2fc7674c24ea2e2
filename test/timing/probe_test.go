// Package timing_test checks that the time of a response reveals nothing about accounts. Its tests run sequentially, because
// concurrent measurements would disturb each other.
package timing_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"user-service/pkg/access"
	"user-service/pkg/factor"
	"user-service/pkg/httpapi"
	"user-service/pkg/password"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const goodPassword = "seven green kettles sing"

// hashTime is the approximate duration of a hash. It is shorter than with the service's defaults, which would hide other
// differences.
const hashTime = 10 * time.Millisecond

// newHasher chooses the passes by their duration, because the race detector makes a hash ten times slower. It uses little memory,
// so that other work on the machine does not slow a hash by evicting its cache lines.
func newHasher(t *testing.T, about time.Duration) *password.Hasher {
	t.Helper()
	for cost := (password.Params{MemoryKiB: 1024, Iterations: 64, Parallelism: 1}); ; cost.Iterations /= 2 {
		hasher, err := password.NewHasher(password.Config{
			Params: cost, Limits: password.Limits{Concurrency: 1, Queue: 100, MaxWait: time.Minute},
		})
		if err != nil {
			t.Fatal(err)
		}
		best := time.Hour
		for range 5 {
			began := time.Now()
			if _, err := hasher.Hash(t.Context(), password.Flow{}, goodPassword); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		if best < about*3/2 || cost.Iterations == 1 {
			return hasher
		}
	}
}

// target is the API with a separate database.
type target struct {
	t     *testing.T
	api   http.Handler
	users *user.Service
	keys  *factor.Keys  // for the secrets of factors
	pool  *pgxpool.Pool // for actions that have no request
}

// newTarget serves the API. store may wrap the database.
func newTarget(t *testing.T, store func(user.Store) user.Store) *target {
	t.Helper()
	return newTargetOf(t, hashTime, store)
}

// newTargetOf is like newTarget, with another duration of a hash.
func newTargetOf(t *testing.T, hash time.Duration, store func(user.Store) user.Store) *target {
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
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	keys, err := factor.NewKeys(base64.StdEncoding.EncodeToString(key), "")
	if err != nil {
		t.Fatal(err)
	}
	users := user.New(user.Config{
		DataKeys:            keys,
		RegistrationEnabled: true, MaxFailures: 5, Passwords: password.Policy{MinLength: 15},
		RefreshIdleTTL: time.Hour, RefreshTTL: time.Hour,
	}, store(db), newHasher(t, hash), tokens)
	api := httpapi.New(httpapi.Config{}, users, httpapi.NewHealth(nil), unobserved{}, slog.New(slog.DiscardHandler))
	return &target{t: t, api: api.Handler(), users: users, keys: keys, pool: pool}
}

func plain(s user.Store) user.Store { return s }

type unobserved struct{}

func (unobserved) RequestStarted(context.Context, string) func(string, int) {
	return func(string, int) {}
}
func (unobserved) Authorized(string)  {}
func (unobserved) RefreshDone(string) {}
func (unobserved) LoginDone(string)   {}
func (unobserved) RateLimited(string) {}

// account creates an active account.
func (s *target) account(email string) {
	s.t.Helper()
	registration := user.Registration{Email: email, Password: goodPassword}
	if _, err := s.users.Create(s.t.Context(), access.Internal(uuid.Nil), registration); err != nil {
		s.t.Fatal(err)
	}
}

func (s *target) disabled(email string) {
	s.t.Helper()
	s.account(email)
	s.sql(`UPDATE users SET status = 'disabled' WHERE email = $1`, email)
}

// invited creates an account without a password.
func (s *target) invited(email string) {
	s.t.Helper()
	if _, err := s.users.Invite(s.t.Context(), access.Internal(uuid.Nil), user.Invitee{Email: email}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *target) sql(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

// probe is a kind of request whose time is compared with other kinds.
type probe struct {
	name   string
	path   string
	body   func() string
	status int // the expected status of the response
}

// send returns the seconds until the response. It uses no network, whose noise would hide differences.
func (s *target) send(p probe) float64 {
	s.t.Helper()
	took, answer := s.try(p)
	if answer.Code != p.status {
		s.t.Fatalf("%s: %d %s, want %d", p.name, answer.Code, answer.Body, p.status)
	}
	return took
}

// try is like send, but accepts any status. It is for concurrent requests.
func (s *target) try(p probe) (seconds float64, _ *httptest.ResponseRecorder) {
	req := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, p.path, strings.NewReader(p.body()))
	req.Header.Set("Content-Type", "application/json")
	answer, began := httptest.NewRecorder(), time.Now()
	s.api.ServeHTTP(answer, req)
	return time.Since(began).Seconds(), answer
}

// rounds limits a measurement. A few rounds could agree by coincidence, so their number has a lower limit.
type rounds struct {
	least int           // the lowest number of rounds
	limit time.Duration // no round starts later, even if the result is not decided
	tries int           // attempts of each kind in a round
}

// measure takes samples of all probes in rounds, until the samples decide the result or the time is up. Each round has another order of
// probes. Before a round, reset reverts the changes of the previous one.
func (s *target) measure(r rounds, probes []probe, reset func()) comparison {
	s.t.Helper()
	samples := make(map[string][]float64)
	names := make([]string, len(probes))
	for i, p := range probes {
		names[i] = p.name
		s.send(p) // opens connections, prepares statements
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage is collected between rounds
	var all comparison
	began := time.Now()
	for n := 1; n <= r.least || !all.decided() && time.Since(began) < r.limit; n++ {
		reset()
		runtime.GC()
		for range r.tries {
			for _, i := range mathrand.Perm(len(probes)) {
				samples[names[i]] = append(samples[names[i]], s.send(probes[i]))
			}
		}
		if n >= r.least {
			all = compareAll(names, samples)
		}
	}
	s.t.Logf("%d requests of each kind in %.1f s, decided: %t\n%s", len(samples[names[0]]), time.Since(began).Seconds(), all.decided(), all)
	return all
}

// credentials returns the body of a login or a registration.
func credentials(email, pw string) func() string {
	return func() string { return fmt.Sprintf(`{"email": %q, "password": %q}`, email, pw) }
}
