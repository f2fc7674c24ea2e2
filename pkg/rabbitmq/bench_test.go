package rabbitmq_test

import (
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// BenchmarkPublish measures publishing with confirms: a single event and a full batch of the outbox, to a transient and to a durable queue.
func BenchmarkPublish(b *testing.B) {
	for _, queue := range []struct {
		name    string
		durable bool
	}{{"transient", false}, {"durable", true}} {
		for _, batch := range []struct {
			name string
			size int
		}{{"one", 1}, {"batch500", 500}} {
			b.Run(queue.name+"/"+batch.name, func(b *testing.B) {
				typ := randomType()
				sink(b, typ, queue.durable)
				observed := &observer{}
				p := start(b, broker(b), observed)
				events := newEvents(b, typ, batch.size)
				for b.Loop() {
					noErrors(b, p.Publish(b.Context(), events))
				}
				report(b, observed, batch.size)
			})
		}
	}
}

// sink binds a short queue that drops its oldest messages, and deletes it after the benchmark.
func sink(b *testing.B, typ event.Type, durable bool) {
	b.Helper()
	channel := dial(b)
	limit := amqp.Table{"x-max-length": 1000}
	if !durable {
		declare(b, channel, typ, limit)
		return
	}
	if _, err := channel.QueueDeclare(string(typ), true, false, false, false, limit); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = channel.QueueDelete(string(typ), false, false, false) })
	if err := channel.QueueBind(string(typ), string(typ), rabbitmq.Exchange, false, nil); err != nil {
		b.Fatal(err)
	}
}

// report adds the metrics events per second and confirm latencies.
func report(b *testing.B, observed *observer, size int) {
	b.Helper()
	latencies := observed.snapshot().confirmed
	slices.Sort(latencies)
	milliseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(milliseconds(latencies[len(latencies)/2]), "p50-ms")
	b.ReportMetric(milliseconds(latencies[len(latencies)*99/100]), "p99-ms")
}
