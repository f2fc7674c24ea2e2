package rabbitmq_test

import (
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// BenchmarkPublish measures the way to the broker's confirm, of one event alone and of a full batch
// of the outbox, with a queue in memory and with one that the broker writes to disk.
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
				seen := &observer{}
				p := start(b, broker(b), seen)
				events := newEvents(b, typ, batch.size)
				for b.Loop() {
					noErrors(b, p.Publish(b.Context(), events))
				}
				report(b, seen, batch.size)
			})
		}
	}
}

// sink binds a short queue, which drops its oldest messages, and deletes it afterwards.
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

// report adds events per second and the confirm latencies.
func report(b *testing.B, seen *observer, size int) {
	b.Helper()
	latencies := seen.snapshot().confirmed
	slices.Sort(latencies)
	milliseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(milliseconds(latencies[len(latencies)/2]), "p50-ms")
	b.ReportMetric(milliseconds(latencies[len(latencies)*99/100]), "p99-ms")
}
