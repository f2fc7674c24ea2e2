package bench_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const (
	stormLogins   = 64  // concurrent logins
	stormAccounts = 256 // accounts that log in
	readRate      = 200 // a second
	stormTime     = 10 * time.Second
	hashMiB       = 19.0 // the memory of one argon2id hash with the defaults
)

// BenchmarkReadsInAStormOfLogins measures reads at a steady rate, first alone, then while clients log in continuously. Every
// second login has a wrong password. The program has default settings. The contract promises fast reads, bounded memory, and a
// Retry-After in each refusal.
func BenchmarkReadsInAStormOfLogins(b *testing.B) {
	s := startStorm(b)
	for b.Loop() {
		quiet := s.reads(b, stormTime)
		base := s.peakMiB(b)
		var storm times
		answers := s.logins(b, func() { storm = s.reads(b, stormTime) })

		bound := 1.2 * (base + hashMiB*hashesAtOnce())
		b.Logf("reads alone %s; in the storm %s; memory %.0f MiB, then %.0f of %.0f; logins %v",
			quiet, storm, base, s.peakMiB(b), bound, answers)
		b.ReportMetric(milliseconds(quiet.at(0.99)), "quiet-p99-ms")
		b.ReportMetric(milliseconds(storm.at(0.99)), "storm-p99-ms")
		b.ReportMetric(float64(storm.at(0.99))/float64(quiet.at(0.99)), "p99-ratio")
		b.ReportMetric(s.peakMiB(b), "peak-MiB")
	}
}

// storm is a replica whose accounts log in concurrently.
type storm struct {
	*replica
	client *http.Client
	token  string // the access token of the account that reads
}

// startStorm starts the program on a database with accounts. The program has not computed a hash yet.
func startStorm(b *testing.B) *storm {
	b.Helper()
	dsn := postgrestest.URL(b)
	accessToken := fill(b, postgrestest.Connect(b, dsn, nil))
	return &storm{startReplica(b, dsn, nil, "RATE_LIMIT_PER_MINUTE=0"), newClient(2 * stormLogins), accessToken}
}

func stormEmail(account int) string { return fmt.Sprintf("user-%d@example.com", account) }

// fill creates the accounts with hashes of the default parameters. It logs in to one of them.
func fill(b *testing.B, db *postgres.DB) (accessToken string) {
	b.Helper()
	hasher, err := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1},
		Limits: password.Limits{Concurrency: 1, MaxWait: time.Minute},
	})
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := token.New(token.Config{
		Keys: token.Keys{Secret: benchSecret}, Issuer: "user-service", Audience: "user-service", AccessTTL: time.Hour,
	})
	if err != nil {
		b.Fatal(err)
	}
	users := user.New(user.Config{
		Passwords: password.Policy{MinLength: 15}, RefreshIdleTTL: time.Hour, RefreshTTL: time.Hour,
	}, db, hasher, tokens)
	for n := range stormAccounts + 1 { // the account that reads does not log in during the storm
		registration := user.Registration{Email: stormEmail(n), Password: benchPassword}
		if _, err := users.Create(b.Context(), access.Internal(uuid.Nil), registration, "user"); err != nil {
			b.Fatal(err)
		}
	}
	pair, err := users.Login(b.Context(), user.Login{Email: stormEmail(stormAccounts), Password: benchPassword})
	if err != nil {
		b.Fatal(err)
	}
	return pair.Access
}

// hashesAtOnce returns the program's PASSWORD_HASH_CONCURRENCY. The default is one for each CPU.
func hashesAtOnce() float64 {
	if n, err := strconv.Atoi(os.Getenv("PASSWORD_HASH_CONCURRENCY")); err == nil && n > 0 {
		return float64(n)
	}
	return float64(runtime.GOMAXPROCS(0))
}

// reads sends GET /users/me at a steady rate.
func (s *storm) reads(b *testing.B, during time.Duration) times {
	b.Helper()
	all := openLoop(readRate, during, func(int) int {
		return s.call(s.client, request{method: http.MethodGet, path: "/users/me", token: s.token}).status
	})
	took := all.times(http.StatusOK)
	if len(took) < len(all) {
		b.Errorf("the responses to reads are %s", all)
	}
	return took
}

// logins logs in from many clients concurrently until meanwhile returns. The clients ignore Retry-After, as attackers do. It
// returns the number of responses with each status.
func (s *storm) logins(b *testing.B, meanwhile func()) map[int]int {
	b.Helper()
	var (
		clients sync.WaitGroup
		over    atomic.Bool
		turn    atomic.Int64
		mu      sync.Mutex
	)
	answers := make(map[int]int)
	for range stormLogins {
		clients.Go(func() {
			mine := make(map[int]int)
			for !over.Load() {
				n := int(turn.Add(1))
				r := s.login(n%stormAccounts, n%2 == 0)
				mine[r.status]++
				if r.status >= 429 && r.header.Get("Retry-After") == "" {
					b.Errorf("a refusal with %d has no Retry-After", r.status)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for status, n := range mine {
				answers[status] += n
			}
		})
	}
	meanwhile()
	over.Store(true)
	clients.Wait()
	for status := range maps.Keys(answers) {
		if !slices.Contains([]int{200, 401, 429, 503}, status) {
			b.Errorf("a login gets %d, want 200, 401, 429 or 503", status)
		}
	}
	return answers
}

func (s *storm) login(account int, right bool) response {
	pw := benchPassword
	if !right {
		pw = "seven green kettles sink"
	}
	return s.call(s.client, request{method: http.MethodPost, path: "/login", body: loginBody(stormEmail(account), pw)})
}
