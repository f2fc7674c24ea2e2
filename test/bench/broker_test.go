package bench_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres/postgrestest"
	"user-service/test/chaos/faultproxy"
)

const (
	stallRounds = 10
	stallTime   = 8 * time.Second // longer than the relay waits for a broker that hangs
	changeRate  = 50              // a second, of all users together
	p50AtMost   = 1.1             // times as slow as with a broker that works
	p99AtMost   = 1.5
)

// BenchmarkStalledBroker measures changes at a steady rate while the broker works, and while it takes and gives no byte, in rounds that
// take turns. Each change is announced, and none waits for the broker: by the medians of the rounds, p50 is within 10 % and p99 within
// 50 %.
func BenchmarkStalledBroker(b *testing.B) {
	cfg := broker(b)
	keepEvents(b, cfg)
	proxy, err := faultproxy.New(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		b.Fatal(err)
	}
	defer proxy.Close()
	host, port, _ := net.SplitHostPort(proxy.Addr())
	dsn := postgrestest.URL(b)
	s := startReplica(b, dsn, nil, "RATE_LIMIT_PER_MINUTE=0", "ACCOUNT_RATE_LIMIT_PER_MINUTE=0", "RABBITMQ_HOST="+host,
		"RABBITMQ_PORT="+port, "ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1", "LOGIN_MAX_FAILURES=0") // it is not about hashes
	users, client := s.register(b, "stall", otherUsers), newClient(otherUsers)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()

	name := 0
	change := func(n int) int {
		a := users[n%len(users)]
		r := request{
			method: http.MethodPatch, path: "/users/me", token: a.token, address: a.address,
			body: fmt.Sprintf(`{"name": "Name %d of %d"}`, n, name),
		}
		return s.call(client, r).status
	}
	round := func(stalled bool) (p50, p99 float64) {
		awaitDrained(b, conn)
		if stalled {
			proxy.Stall()
			defer proxy.Resume()
		}
		name++
		all := openLoop(changeRate, stallTime, change)
		if served(all) < 1 {
			b.Errorf("changes are answered with %s", all)
		}
		took := all.times(http.StatusOK)
		return milliseconds(took.at(0.5)), milliseconds(took.at(0.99))
	}
	round(false) // the first one is slower than others
	for b.Loop() {
		var p50, p99 [2][]float64 // of a broker that works, and of one that is stalled
		for n := range 2 * stallRounds {
			stalled := (n + n/2) % 2 // in each pair another one is the first
			mid, late := round(stalled == 1)
			p50[stalled], p99[stalled] = append(p50[stalled], mid), append(p99[stalled], late)
		}
		works50, works99, stalled50, stalled99 := median(p50[0]), median(p99[0]), median(p50[1]), median(p99[1])
		b.Logf("p50 %.1f ms and p99 %.1f ms; with a stalled broker %.1f ms and %.1f ms", works50, works99, stalled50, stalled99)
		b.Logf("p50 of the rounds: %.1f; with a stalled broker %.1f", p50[0], p50[1])
		b.ReportMetric(stalled50/works50, "p50-ratio")
		b.ReportMetric(stalled99/works99, "p99-ratio")
		if stalled50 > p50AtMost*works50 || stalled99 > p99AtMost*works99 {
			fail(b, "a stalled broker slows changes: p50 %.2f times, p99 %.2f times", stalled50/works50, stalled99/works99)
		}
	}
}

// awaitDrained waits until no event waits any more.
func awaitDrained(b *testing.B, conn *pgx.Conn) {
	b.Helper()
	for waits, began := true, time.Now(); waits; <-time.After(50 * time.Millisecond) {
		if err := conn.QueryRow(b.Context(), `SELECT EXISTS (SELECT FROM outbox)`).Scan(&waits); err != nil {
			b.Fatal(err)
		}
		if time.Since(began) > time.Minute {
			b.Fatal("events do not leave")
		}
	}
}

func median(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }
