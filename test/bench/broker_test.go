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

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/chaos/faultproxy"
)

const (
	stallRounds = 10
	stallTime   = 8 * time.Second // longer than the relay's deadline for the broker
	changeRate  = 50              // changes per second, of all users together
	p50AtMost   = 1.1             // relative to a working broker
	p99AtMost   = 1.5
)

// BenchmarkStalledBroker measures changes at a steady rate, in alternating rounds with a working and a stalled broker. Each change queues
// an event, but must not wait for the broker. Each pair of rounds has the ratio of the p50 with a stalled broker to the p50 with a working
// broker. Over ten pairs, the median of this ratio may be 1.1. The same ratio of the p99 may be 1.5.
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
		"RABBITMQ_PORT="+port, "ARGON2_MEMORY_KIB=64", "ARGON2_ITERATIONS=1", "LOGIN_MAX_FAILURES=0") // hashes are not measured
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
			b.Errorf("the responses to changes are %s, want only 200", all)
		}
		took := all.times(http.StatusOK)
		return milliseconds(took.at(0.5)), milliseconds(took.at(0.99))
	}
	round(false) // the first round is slower than others
	for b.Loop() {
		var p50, p99 [2][]float64 // index 0: a working broker; index 1: a stalled broker
		for n := range 2 * stallRounds {
			stalled := (n + n/2) % 2 // the order alternates between pairs
			mid, late := round(stalled == 1)
			p50[stalled], p99[stalled] = append(p50[stalled], mid), append(p99[stalled], late)
		}
		b.Logf("p50 of the rounds in ms: %.1f; with a stalled broker: %.1f", p50[0], p50[1])
		b.Logf("p99 of the rounds in ms: %.1f; with a stalled broker: %.1f", p99[0], p99[1])
		slower50, slower99 := medianRatio(p50[1], p50[0]), medianRatio(p99[1], p99[0])
		b.ReportMetric(slower50, "p50-ratio")
		b.ReportMetric(slower99, "p99-ratio")
		if slower50 > p50AtMost || slower99 > p99AtMost {
			fail(b, "with a stalled broker, the p50 of changes is %.2f times as long and the p99 %.2f times", slower50, slower99)
		}
	}
}

// awaitDrained waits until the outbox is empty.
func awaitDrained(b *testing.B, conn *pgx.Conn) {
	b.Helper()
	testkit.WaitFor(b, "an empty outbox", func() (empty bool) {
		if err := conn.QueryRow(b.Context(), `SELECT NOT EXISTS (SELECT FROM outbox)`).Scan(&empty); err != nil {
			b.Fatal(err)
		}
		return empty
	})
}

// medianRatio returns the median of the ratios of consecutive rounds. Other load on the machine slows both rounds of a pair, so it hardly
// changes their ratio.
func medianRatio(stalled, works []float64) float64 {
	var ratios []float64
	for i := range stalled {
		ratios = append(ratios, stalled[i]/works[i])
	}
	slices.Sort(ratios)
	return (ratios[(len(ratios)-1)/2] + ratios[len(ratios)/2]) / 2
}
