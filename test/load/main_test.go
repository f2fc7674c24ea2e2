// Package load_test checks the promises of the program while the database or the broker is slow or busy.
package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/replica"
)

var (
	program = flag.String("program", "", "`path` of the user-service to test, in place of the one that is built")
	rows    = flag.Int("rows", 20_000, "how many events wait in the outbox at the beginning")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testkit.Main(m, program))
}

// answerTime is the longest response time: 2 s by the contract, and a margin for a busy machine.
const answerTime = 3 * time.Second

// service is a process of the program with a small pool of database connections.
type service struct {
	*replica.Replica

	t      *testing.T
	client *http.Client
	conn   *pgx.Conn // to its database, for the test
}

const maxConns = 4

func newService(t *testing.T, dsn, through string, settings map[string]string) *service {
	t.Helper()
	if settings == nil {
		settings = map[string]string{}
	}
	settings["RATE_LIMIT_PER_MINUTE"], settings["ACCOUNT_RATE_LIMIT_PER_MINUTE"] = "0", "0"
	settings["DATABASE_MAX_CONNS"] = strconv.Itoa(maxConns)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 300}}
	t.Cleanup(client.CloseIdleConnections)
	return &service{replica.Start(t, *program, through, settings), t, client, conn}
}

// account is an account with a session.
type account struct{ ID, email, token string }

const password = "seven green kettles sing"

func (s *service) accounts(n int) []account {
	s.t.Helper()
	all := make([]account, n)
	for i := range all {
		a := &all[i]
		a.email = fmt.Sprintf("person-%d@example.com", i)
		login := fmt.Sprintf(`{"email": %q, "password": %q}`, a.email, password)
		s.must(json.Unmarshal(s.call("POST", "/register", "", login).want(s.t, 201), a))
		a.token = s.login(a.email)
	}
	return all
}

func (s *service) login(email string) string {
	s.t.Helper()
	var got struct {
		Access string `json:"access_token"`
	}
	body := s.call("POST", "/login", "", fmt.Sprintf(`{"email": %q, "password": %q}`, email, password)).want(s.t, 200)
	s.must(json.Unmarshal(body, &got))
	return got.Access
}

func (s *service) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// answer is a response; status 0 means that there was none.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

func (a answer) want(t *testing.T, status int) []byte {
	t.Helper()
	if a.status != status {
		t.Fatalf("the response is %d %s, want %d", a.status, a.body, status)
	}
	return a.body
}

func (s *service) call(method, path, token, body string) answer {
	return s.callUntil(context.Background(), method, path, token, body)
}

func (s *service) callUntil(ctx context.Context, method, path, token, body string) answer {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{took: time.Since(began)}
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{took: time.Since(began)}
	}
	return answer{resp.StatusCode, resp.Header, content, time.Since(began)}
}

// check fails unless the response was in time, and was a success or had a Retry-After. busy is the delay that a busy machine
// adds.
func (a answer) check(t *testing.T, busy time.Duration) {
	t.Helper()
	wait, _ := strconv.Atoi(a.header.Get("Retry-After"))
	refused := (a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests) && wait > 0
	if a.took > answerTime+busy || a.status/100 != 2 && !refused {
		t.Errorf("the response is %d after %s (the machine adds %s), Retry-After %q: %s", a.status, a.took, busy,
			a.header.Get("Retry-After"),
			a.body)
	}
}

// watchMachine sends requests that need no database, until stop is called. stop returns the longest response time, which is the
// delay that a busy machine adds.
func (s *service) watchMachine() (stop func() time.Duration) {
	ended := crowd(1, func(ctx context.Context, _, _ int) answer {
		defer func() { testkit.Pause(ctx, 5*time.Millisecond) }()
		return s.callUntil(ctx, "GET", "/healthz", "", "")
	})
	return func() (most time.Duration) {
		for _, a := range ended() {
			most = max(most, a.took)
		}
		return most
	}
}

// crowd runs clients that send requests one after another until stop is called. stop returns all responses.
func crowd(clients int, send func(ctx context.Context, client, n int) answer) (stop func() []answer) {
	ctx, cancel := context.WithCancel(context.Background())
	all := make([][]answer, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				all[client] = append(all[client], send(context.WithoutCancel(ctx), client, n))
			}
		})
	}
	return func() (answers []answer) {
		cancel()
		wg.Wait()
		for _, some := range all {
			answers = append(answers, some...)
		}
		return answers
	}
}

func counts(answers []answer) map[int]int {
	n := map[int]int{}
	for _, a := range answers {
		n[a.status]++
	}
	return n
}

// count returns the number that a query returns.
func (s *service) count(query string, args ...any) (n int) {
	s.t.Helper()
	s.must(s.conn.QueryRow(s.t.Context(), query, args...).Scan(&n))
	return n
}

// sessions is a query for the service's sessions at the database.
const sessions = `SELECT count(*) FROM pg_stat_activity
	WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'test'`
