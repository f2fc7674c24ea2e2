package load_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/replica"
)

// block runs a statement in a transaction that stays open until release is called.
func block(t *testing.T, dsn, statement string, args ...any) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn+"&application_name=test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
	return func() { _ = conn.Close(context.Background()) }
}

// delay starts a proxy in front of the database. The proxy can delay all traffic.
func delay(t *testing.T, dsn string) (through string, proxy *toxiproxy.Proxy) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "database", "127.0.0.1:0", u.Host)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	u.Host = proxy.Listen
	return u.String(), proxy
}

// TestASlowDatabaseDoesNotExhaustResources sends requests of 150 clients while each query waits for a lock or the network. All clients must
// get responses in time. The process must have only the goroutines that the clients need, and only its allowed connections.
func TestASlowDatabaseDoesNotExhaustResources(t *testing.T) { //nolint:paralleltest // it measures time
	for name, slow := range map[string]func(t *testing.T, dsn string, proxy *toxiproxy.Proxy) (heal func()){
		"lock": func(t *testing.T, dsn string, _ *toxiproxy.Proxy) func() {
			t.Helper()
			return block(t, dsn, `LOCK TABLE users IN ACCESS EXCLUSIVE MODE`)
		},
		"network": func(t *testing.T, _ string, proxy *toxiproxy.Proxy) func() {
			t.Helper()
			_, err := proxy.Toxics.AddToxicJson(strings.NewReader(`{"name": "slow", "type": "latency", "attributes": {"latency": 700}}`))
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = proxy.Toxics.RemoveToxic(context.Background(), "slow") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := postgrestest.URL(t)
			through, proxy := delay(t, dsn)
			s := newService(t, dsn, through, nil)
			people := s.accounts(20)
			s.client.CloseIdleConnections()
			idle := s.Idle(t.Context())

			heal := slow(t, dsn, proxy)
			machine := s.watchMachine()
			const clients = 150
			stop := crowd(clients, func(ctx context.Context, client, n int) answer {
				a := people[client%len(people)]
				switch n % 3 {
				case 0:
					return s.callUntil(ctx, "GET", "/users/me", a.token, "")
				case 1:
					return s.callUntil(ctx, "PATCH", "/users/me", a.token, fmt.Sprintf(`{"name": "Name %d"}`, n))
				default:
					return s.callUntil(ctx, "POST", "/login", "", fmt.Sprintf(`{"email": %q, "password": %q}`, a.email, password))
				}
			})
			goroutines, conns := 0, 0
			for began := time.Now(); time.Since(began) < 5*time.Second; testkit.Pause(s.t.Context(), 100*time.Millisecond) {
				now, _ := s.Holds()
				goroutines, conns = max(goroutines, now.Goroutines), max(conns, s.count(sessions))
			}
			heal()
			answers, busy := stop(), machine()
			for _, a := range answers {
				a.check(t, busy)
			}
			t.Logf("%v; at most %d goroutines and %d connections; idle: %s", counts(answers), goroutines, conns, idle)
			if counts(answers)[http.StatusServiceUnavailable] == 0 {
				t.Error("no request was refused: the database was not slow")
			}
			// A connection has two goroutines, and a waiting request has two or three.
			if most := idle.Goroutines + 6*clients; goroutines > most {
				t.Errorf("there were %d goroutines, want at most %d", goroutines, most)
			}
			// An abandoned connection closes in the background, while another one may already replace it.
			if most := 3*maxConns + 2; conns > most {
				t.Errorf("there were %d connections to the database, want at most %d", conns, most)
			}
			s.demandRecovery(people[0], idle)
		})
	}
}

// demandRecovery checks that requests succeed again, and that the process holds no more resources than before.
func (s *service) demandRecovery(a account, idle replica.Held) {
	s.t.Helper()
	works := func() bool { return s.call("PATCH", "/users/me", a.token, `{"name": "Ada"}`).status == 200 }
	if !testkit.Await(s.t.Context(), testkit.Timeout, works) {
		s.t.Error("requests no longer succeed")
	}
	s.client.CloseIdleConnections()
	var now replica.Held
	if !testkit.Await(s.t.Context(), testkit.Timeout, func() (ok bool) { now, ok = s.Holds(); return ok && !now.Leaks(idle) }) {
		s.t.Errorf("the process holds %s, and held %s before", now, idle)
	}
}

// TestADisconnectedClientStopsItsQuery disconnects clients while their queries wait for a lock. The queries must end in
// PostgreSQL.
func TestADisconnectedClientStopsItsQuery(t *testing.T) { //nolint:paralleltest // it measures time
	dsn := postgrestest.URL(t)
	s := newService(t, dsn, dsn, nil)
	people := s.accounts(maxConns)
	for _, request := range []struct{ method, body, lock string }{
		{"GET", "", `LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE`},
		{"PATCH", `{"name": "Ada"}`, `SELECT 1 FROM users WHERE id = $1::text::uuid FOR UPDATE`},
		{"DELETE", "", `SELECT 1 FROM users WHERE id = $1::text::uuid FOR UPDATE`},
	} {
		t.Run(request.method, func(t *testing.T) {
			var args []any
			if strings.Contains(request.lock, "$1") {
				args = append(args, people[0].ID)
			}
			release := block(t, dsn, request.lock, args...)
			defer release()
			s.demandStop(func(ctx context.Context) {
				s.callUntil(ctx, request.method, "/users/me", people[0].token, request.body)
			})
		})
	}
}

// demandStop disconnects a client while its query waits for a lock, and checks that the query ends. The query of a connected client ends
// after 1.8 s, so the client must disconnect earlier. A busy machine may need several attempts.
func (s *service) demandStop(call func(context.Context)) {
	s.t.Helper()
	const waiting = sessions + ` AND state = 'active' AND wait_event_type = 'Lock' AND query NOT LIKE '%user_service.relay%'`
	for range 20 {
		ctx, disconnect := context.WithCancel(s.t.Context())
		done := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(done)
			call(ctx)
		}()
		testkit.Await(s.t.Context(), testkit.Timeout, func() bool { return s.count(waiting) > 0 || time.Since(began) > time.Second })
		seen := s.count(waiting) > 0
		gone := time.Now()
		disconnect()
		<-done
		if !testkit.Await(s.t.Context(), testkit.Timeout, func() bool { return s.count(waiting) == 0 }) {
			s.t.Fatal("the query continues without its client")
		}
		if took := time.Since(gone); seen && took < time.Second && time.Since(began) < 1500*time.Millisecond {
			s.t.Logf("the query ended %s after its client disconnected, and %s after it began", took.Round(time.Millisecond),
				time.Since(began).Round(time.Millisecond))
			return
		}
	}
	s.t.Error("no query ended after its client disconnected")
}

// TestAnExhaustedPoolRefusesRequestsInTime makes resets wait for a locked table until the pool has no connection for requests. The service
// must refuse other requests in time. Logins and readiness must succeed, because they have reserved connections.
func TestAnExhaustedPoolRefusesRequestsInTime(t *testing.T) { //nolint:paralleltest // it measures time
	dsn := postgrestest.URL(t)
	s := newService(t, dsn, dsn, nil)
	user := s.accounts(1)[0]
	s.client.CloseIdleConnections()
	idle := s.Idle(t.Context())
	release := block(t, dsn, `LOCK TABLE one_time_tokens IN ACCESS EXCLUSIVE MODE`)
	stop := crowd(3*maxConns, func(ctx context.Context, client, n int) answer {
		token := fmt.Sprintf("%043d", client*1_000_000+n)
		return s.callUntil(ctx, "POST", "/password-reset/confirm", "", fmt.Sprintf(`{"token": %q, "new_password": %q}`, token, password))
	})
	if !testkit.Await(t.Context(), testkit.Timeout,
		func() bool { return s.count(sessions+` AND wait_event_type = 'Lock'`) >= maxConns-1 }) {
		t.Fatal("the pool is not exhausted")
	}
	machine := s.watchMachine()
	var reads []answer
	for range 5 {
		reads = append(reads, s.call("GET", "/users/me", user.token, ""))
		if a := s.call("POST", "/login", "",
			fmt.Sprintf(`{"email": %q, "password": %q}`, user.email, password)); a.status != http.StatusOK {
			t.Errorf("a login gets %d after %s: %s", a.status, a.took, a.body)
		}
		if !testkit.Await(t.Context(), testkit.Timeout, s.IsReady) { // on a busy machine, one check may take too long
			t.Error("the service does not become ready although the database responds")
		}
	}
	release()
	resets, busy := stop(), machine()
	for _, a := range append(reads, resets...) {
		if a.status != http.StatusBadRequest { // the tokens are invalid
			a.check(t, busy)
		}
	}
	if counts(reads)[http.StatusServiceUnavailable] == 0 {
		t.Error("no request was refused: the pool was not exhausted")
	}
	t.Logf("reads: %v; resets that waited: %v; the machine adds %s", counts(reads), counts(resets), busy)
	s.demandRecovery(user, idle)
}
