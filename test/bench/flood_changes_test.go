package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/rabbitmq"
)

const attackerAddress = "198.51.100.7"

// BenchmarkFloodOfChangesOfOneAccount sends changes that wait for the same row.
func BenchmarkFloodOfChangesOfOneAccount(b *testing.B) {
	for _, rate := range []float64{360, 600} {
		b.Run(fmt.Sprintf("rate=%g", rate), func(b *testing.B) {
			s := newSite(b, nil)
			token := s.register(b, "attacker", 1)[0].token
			s.measure(b, s.send(rate, []int{http.StatusOK}, func(n int) request {
				return change(token, fmt.Sprintf(`{"name": "Name %d"}`, n))
			}))
		})
	}
}

// BenchmarkFloodOfMetadata sends changes of 8 KB, and reports the size of the resulting events and audit entries. An event
// contains the account before and after the change.
func BenchmarkFloodOfMetadata(b *testing.B) {
	s := newSite(b, nil)
	token := s.register(b, "attacker", 1)[0].token
	filler := strings.Repeat("x", 8000)
	f := s.send(219, []int{http.StatusOK}, func(n int) request {
		return change(token, fmt.Sprintf(`{"metadata": {"a": "%d %s"}}`, n, filler))
	})
	events := countEvents(b)
	rowsBefore, bytesBefore := s.trail(b)
	f.notes = func(during time.Duration) string {
		rows, bytes := s.trail(b)
		seconds := during.Seconds()
		return fmt.Sprintf("a second: %.0f events with %.0f KiB, %.0f audit entries with %.1f KiB",
			float64(events.n.Load())/seconds, float64(events.bytes.Load())/1024/seconds,
			float64(rows-rowsBefore)/seconds, float64(bytes-bytesBefore)/1024/seconds)
	}
	s.measure(b, f)
}

func change(token, body string) request {
	return request{method: http.MethodPatch, path: "/users/me", token: token, address: attackerAddress, body: body}
}

// trail returns the number of audit entries, and their size in bytes without indexes.
func (s *site) trail(b *testing.B) (rows, bytes int64) {
	b.Helper()
	db, err := pgx.Connect(b.Context(), s.dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(b.Context())) }()
	err = db.QueryRow(b.Context(), `SELECT count(*), coalesce(sum(pg_column_size(a)), 0) FROM audit_events a`).Scan(&rows, &bytes)
	if err != nil {
		b.Fatal(err)
	}
	return rows, bytes
}

// eventCount counts the delivered events.
type eventCount struct{ n, bytes atomic.Int64 }

// countEvents counts all events until the benchmark ends.
func countEvents(b *testing.B) *eventCount {
	b.Helper()
	cfg := broker(b)
	uri := amqp.URI{Scheme: "amqp", Host: cfg.Host, Port: cfg.Port, Username: cfg.User, Password: cfg.Password, Vhost: cfg.Vhost}
	conn, err := amqp.Dial(uri.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, "#", rabbitmq.Exchange, false, nil); err != nil {
		b.Fatal(err)
	}
	deliveries, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	count := new(eventCount)
	go func() {
		for d := range deliveries {
			count.n.Add(1)
			count.bytes.Add(int64(len(d.Body)))
		}
	}()
	return count
}
